#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::encoder {

/// What a file of a SentencePiece vocabulary may have. SigLIP's has 0.8 MB, multilingual ones 4 MB
/// and as JSON up to 34 MB.
inline constexpr std::uint64_t kMaxSentencePieceBytes = 40 << 20;

/// "\u2581", which stands for a space in pieces.
inline constexpr std::string_view kSpacePiece = "\xe2\x96\x81";

/// A unigram model of SentencePiece: what of a model's file decides about ids.
struct SentencePieceModel {
  /// The numbers are those of the file format.
  enum class PieceType : std::uint8_t {
    kNormal = 1,
    kUnknown = 2,      ///< exactly one piece: what stands for text that no piece matches
    kControl = 3,      ///< never found in a text
    kUserDefined = 4,  ///< found in a text before it is normalised
    kUnused = 5,
    kByte = 6,  ///< stands for a byte of unknown text; there are all 256 of them or none
  };
  struct Piece {
    std::string text;
    float score = 0;  ///< logarithm of its probability
    PieceType type = PieceType::kNormal;
  };

  std::vector<Piece> pieces;  ///< by id
  std::string charsmap;       ///< the normalisation rules, see NormalizationRules; empty: none
  bool byte_fallback = false;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

/// Reads a spiece.model. Throws as read_file does, Corruption when the file is damaged, and
/// InvalidArgument when its model is not a unigram model; the message names the file.
/// Whether the model makes sense, UnigramModel says.
SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path);

}  // namespace vitrine::encoder
