#include "encoder/unigram_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/text.h"
#include "encoder/code_points.h"

namespace vitrine::encoder {
namespace {

using Piece = SentencePieceModel::Piece;

/// How much worse than the worst piece an unknown character is.
constexpr float kUnknownPenalty = 10.0F;
/// What a user-defined piece, which nothing else shall beat, costs.
constexpr double kUserDefinedCost = 0.1;

std::vector<std::string_view> texts_of(const std::vector<Piece>& pieces) {
  if (pieces.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw corruption("there are too many pieces");
  }
  std::vector<std::string_view> texts;
  texts.reserve(pieces.size());
  for (const Piece& piece : pieces) {
    if (piece.text.empty() || find_invalid_utf8(piece.text)) {
      throw corruption(fmt::format("piece {} is \"{}\"; it must be UTF-8 and not empty",
                                   texts.size(), printable(piece.text)));
    }
    texts.push_back(piece.text);
  }
  return texts;
}

NormalizationRules rules_of(const SentencePieceModel& model) {
  return model.charsmap.empty() ? NormalizationRules() : NormalizationRules(model.charsmap);
}

/// Bytes of the character that the text, which is not empty, begins with; 0 where that is none.
std::size_t character_length(std::string_view text) {
  constexpr std::size_t kLongest = 4;
  const auto size = static_cast<std::int32_t>(std::min(text.size(), kLongest));
  std::int32_t length = 0;
  UChar32 character = 0;
  U8_NEXT(text.data(), length, size, character);
  return character < 0 ? 0 : static_cast<std::size_t>(length);
}

}  // namespace

UnigramModel::UnigramModel(const SentencePieceModel& model)
    : trie_(texts_of(model.pieces)),
      rules_(rules_of(model)),
      remove_extra_whitespaces_(model.remove_extra_whitespaces),
      escape_whitespaces_(model.escape_whitespaces) {
  check_pieces(model.pieces);
  if (model.byte_fallback) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string text = fmt::format("<0x{:02X}>", byte);
      byte_ids_.push_back(find(text));
      if (type(byte_ids_.back()) != PieceType::kByte) {
        throw corruption(fmt::format("the piece \"{}\" of a byte is missing", text));
      }
    }
  }
}

void UnigramModel::check_pieces(const std::vector<Piece>& pieces) {
  float worst = std::numeric_limits<float>::max();
  float best = std::numeric_limits<float>::min();  // where libsentencepiece starts: above zero
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    const Piece& piece = pieces[id];
    if (!std::isfinite(piece.score)) {
      throw corruption(fmt::format("the score of piece {} is {}", id, piece.score));
    }
    types_.push_back(piece.type);
    scores_.push_back(piece.score);
    has_user_defined_ = has_user_defined_ || piece.type == PieceType::kUserDefined;
    if (piece.type == PieceType::kNormal) {
      worst = std::min(worst, piece.score);
      best = std::max(best, piece.score);
    } else if (piece.type == PieceType::kUnknown) {
      if (unknown_id_ != PieceTrie::kNone) throw corruption("there are two unknown pieces");
      unknown_id_ = static_cast<std::int32_t>(id);
    }
  }
  if (unknown_id_ == PieceTrie::kNone) throw corruption("there is no unknown piece");
  unknown_score_ = worst - kUnknownPenalty;
  user_defined_score_ = best;
}

std::int32_t UnigramModel::find(std::string_view piece) const {
  const std::int32_t id = trie_.find(piece);
  return id == PieceTrie::kNone ? unknown_id_ : id;
}

std::size_t UnigramModel::user_defined_length(std::string_view text) const {
  std::size_t longest = 0;
  if (!has_user_defined_) return longest;
  trie_.for_each_prefix(text, [&](std::size_t length, std::int32_t id) {
    if (type(id) == PieceType::kUserDefined) longest = length;
  });
  return longest;
}

/// Replaces by the rules, what is user-defined excepted; then leaves single spaces, as "▁".
std::string UnigramModel::normalize(std::string_view text) const {
  const std::string_view space = escape_whitespaces_ ? kSpacePiece : " ";
  std::string result;
  result.reserve(text.size() * 2);
  bool after_space = remove_extra_whitespaces_;
  while (!text.empty()) {
    std::string_view part;
    std::size_t length = user_defined_length(text);
    if (length > 0) {
      part = text.substr(0, length);
    } else if (const auto match = rules_.longest_match(text); match.length > 0) {
      length = match.length;
      part = match.replacement;
    } else {
      length = character_length(text);
      part = text.substr(0, length);
      if (length == 0) {  // what a rule that ends within a character left of it
        length = 1;
        part = "\xef\xbf\xbd";
      }
    }
    text.remove_prefix(length);
    while (after_space && part.starts_with(' ')) part.remove_prefix(1);
    if (part.empty()) continue;
    for (const char c : part) {
      if (c == ' ') {
        result += space;
      } else {
        result += c;
      }
    }
    after_space = remove_extra_whitespaces_ && part.ends_with(' ');
  }
  while (remove_extra_whitespaces_ && result.ends_with(space)) {
    result.resize(result.size() - space.size());
  }
  return result;
}

/// [normalized.size() + 1], of which those between characters are meant.
std::vector<UnigramModel::Cut> UnigramModel::cut(std::string_view normalized) const {
  std::vector<Cut> cuts(normalized.size() + 1);
  for (std::size_t start = 0; start < normalized.size();) {
    const float score_before = cuts[start].score;
    // In double, of which only the sum is rounded, as libsentencepiece compares.
    const auto offer = [&](std::size_t end, std::int32_t id, double score) {
      Cut& best = cuts[end];
      if (best.id != PieceTrie::kNone && !(score > best.score)) return;
      best = {id, start, static_cast<float>(score)};
    };
    const std::size_t character =
        std::max<std::size_t>(character_length(normalized.substr(start)), 1);
    bool is_known = false;
    trie_.for_each_prefix(normalized.substr(start), [&](std::size_t length, std::int32_t id) {
      double score = scores_[static_cast<std::size_t>(id)];
      if (type(id) == PieceType::kUserDefined) {
        score = static_cast<float>(length) * user_defined_score_ - kUserDefinedCost;
      } else if (type(id) != PieceType::kNormal) {
        return;
      }
      offer(start + length, id, score + score_before);
      is_known = is_known || length == character;
    });
    if (!is_known) offer(start + character, unknown_id_, unknown_score_ + score_before);
    start += character;
  }
  return cuts;
}

std::vector<std::int32_t> UnigramModel::encode(std::string_view text) const {
  const std::string normalized = normalize(text);
  const std::vector<Cut> cuts = cut(normalized);
  /// From the back.
  std::vector<std::size_t> ends;
  for (std::size_t end = normalized.size(); end > 0; end = cuts[end].start) ends.push_back(end);

  std::vector<std::int32_t> ids;
  ids.reserve(ends.size());
  for (std::size_t i = ends.size(); i-- > 0;) {
    const Cut& first = cuts[ends[i]];
    if (first.id != unknown_id_) {
      ids.push_back(first.id);
      continue;
    }
    while (i > 0 && cuts[ends[i - 1]].id == unknown_id_) --i;
    append_unknown(std::string_view(normalized).substr(first.start, ends[i] - first.start), ids);
  }
  return ids;
}

/// A run of unknown characters. By its text it may be a piece that is never found otherwise.
void UnigramModel::append_unknown(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (byte_ids_.empty()) {
    ids.push_back(find(text));
    return;
  }
  for (const char byte : text) ids.push_back(byte_ids_[static_cast<std::uint8_t>(byte)]);
}

}  // namespace vitrine::encoder
