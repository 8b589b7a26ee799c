#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "encoder/normalization_rules.h"
#include "encoder/piece_trie.h"
#include "encoder/sentencepiece_model.h"

namespace vitrine::encoder {

/// Cuts texts into the pieces of a unigram model, id for id as libsentencepiece does it: of all
/// ways to cut a text the one whose scores have the largest sum, in the same float arithmetic.
/// That library itself cannot be in a process with LibTorch: Debian's has an own protobuf, whose
/// symbols it exports, inside it. Immutable; safe to use from many threads.
class UnigramModel {
 public:
  /// Throws Corruption when the model makes no sense.
  explicit UnigramModel(const SentencePieceModel& model);

  /// Ids of the pieces. Adjacent characters that no piece has are one unknown piece. No space is
  /// put before the text. text: UTF-8.
  std::vector<std::int32_t> encode(std::string_view text) const;

  /// The id of the piece with this text, or unknown_id().
  std::int32_t find(std::string_view piece) const;

  std::int32_t unknown_id() const { return unknown_id_; }
  int piece_count() const { return static_cast<int>(types_.size()); }

 private:
  using PieceType = SentencePieceModel::PieceType;

  /// The best way to cut the text up to a place: its last piece, and its score.
  struct Cut {
    std::int32_t id = PieceTrie::kNone;
    std::size_t start = 0;
    float score = 0;
  };

  void check_pieces(const std::vector<SentencePieceModel::Piece>& pieces);
  std::string normalize(std::string_view text) const;
  std::size_t user_defined_length(std::string_view text) const;
  std::vector<Cut> cut(std::string_view normalized) const;
  void append_unknown(std::string_view text, std::vector<std::int32_t>& ids) const;

  PieceType type(std::int32_t id) const { return types_[static_cast<std::size_t>(id)]; }

  PieceTrie trie_;
  NormalizationRules rules_;
  std::vector<PieceType> types_;        // [pieces]
  std::vector<float> scores_;           // [pieces]
  std::vector<std::int32_t> byte_ids_;  // [256] with byte fallback, else empty
  std::int32_t unknown_id_ = PieceTrie::kNone;
  float unknown_score_ = 0;
  float user_defined_score_ = 0;  // a byte
  bool has_user_defined_ = false;
  bool remove_extra_whitespaces_;
  bool escape_whitespaces_;
};

}  // namespace vitrine::encoder
