#include "encoder/unigram_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vitrine::encoder {
namespace {

using Ids = std::vector<std::int32_t>;
using PieceType = SentencePieceModel::PieceType;

constexpr const char* kSpace = "\xe2\x96\x81";

/// <unk> 0, "▁" 1, a 2, b 3, c 4, each -3; more pieces follow.
SentencePieceModel letters(const std::vector<SentencePieceModel::Piece>& more = {}) {
  SentencePieceModel model;
  model.pieces = {{"<unk>", 0, PieceType::kUnknown}, {kSpace, -3}, {"a", -3}, {"b", -3}, {"c", -3}};
  model.pieces.insert(model.pieces.end(), more.begin(), more.end());
  return model;
}

Ids encode(const SentencePieceModel& model, const std::string& text) {
  return UnigramModel(model).encode(text);
}

TEST(UnigramModel, TakesThePiecesWhoseScoresHaveTheLargestSum) {
  const SentencePieceModel model = letters({{"ab", -5}, {"bc", -4}, {"abc", -8}});
  EXPECT_EQ(encode(model, "abc"), (Ids{2, 6}));
  EXPECT_EQ(encode(model, "ab"), (Ids{5}));
  EXPECT_EQ(encode(model, "cab a"), (Ids{4, 5, 1, 2}));
  EXPECT_EQ(encode(model, ""), Ids{});
}

TEST(UnigramModel, JoinsUnknownCharacters) {
  EXPECT_EQ(encode(letters(), "axyb\xe6\xbc\xa2"), (Ids{2, 0, 3, 0}));
}

TEST(UnigramModel, SpellsUnknownCharactersWhereBytesArePieces) {
  SentencePieceModel model = letters();
  model.byte_fallback = true;
  for (int byte = 0; byte < 256; ++byte) {
    constexpr const char* kDigits = "0123456789ABCDEF";
    model.pieces.push_back(
        {std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">", 0, PieceType::kByte});
  }
  EXPECT_EQ(encode(model, "a\xc3\xa9"), (Ids{2, 5 + 0xc3, 5 + 0xa9}));
}

TEST(UnigramModel, NeverFindsControlAndUnusedPieces) {
  const SentencePieceModel model =
      letters({{"ab", 0, PieceType::kControl}, {"bc", 0, PieceType::kUnused}});
  EXPECT_EQ(encode(model, "abc"), (Ids{2, 3, 4}));
  EXPECT_EQ(UnigramModel(model).find("ab"), 5);
  EXPECT_EQ(UnigramModel(model).find("abc"), 0);
}

TEST(UnigramModel, PrefersUserDefinedPiecesWhateverTheirScore) {
  const SentencePieceModel model = letters({{"ab", -1}, {"bc", -100, PieceType::kUserDefined}});
  EXPECT_EQ(encode(model, "abc"), (Ids{2, 6}));
  EXPECT_EQ(encode(model, "ab"), (Ids{5}));
}

TEST(UnigramModel, LeavesSingleSpacesUnlessToldOtherwise) {
  SentencePieceModel model = letters({{" ", -3}});
  EXPECT_EQ(encode(model, " a  b "), (Ids{2, 1, 3}));
  EXPECT_EQ(encode(model, std::string(kSpace) + "a"), (Ids{1, 2}));
  model.escape_whitespaces = false;
  EXPECT_EQ(encode(model, " a  b "), (Ids{2, 5, 3}));
  model.remove_extra_whitespaces = false;
  EXPECT_EQ(encode(model, " a  b "), (Ids{5, 2, 5, 5, 3, 5}));
}

}  // namespace
}  // namespace vitrine::encoder
