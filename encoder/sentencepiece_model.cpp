#include "encoder/sentencepiece_model.h"

#include <fmt/format.h>

#include <bit>
#include <iterator>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "encoder/lfs_pointer.h"
#include "encoder/protobuf_wire.h"

namespace vitrine::encoder {
namespace {

using Model = SentencePieceModel;

// Field numbers of sentencepiece_model.proto.
constexpr std::uint32_t kPieces = 1;  // of ModelProto, and the next two
constexpr std::uint32_t kTrainerSpec = 2;
constexpr std::uint32_t kNormalizerSpec = 3;
constexpr std::uint32_t kPieceText = 1;  // of SentencePiece, and the next two
constexpr std::uint32_t kPieceScore = 2;
constexpr std::uint32_t kPieceType = 3;
constexpr std::uint32_t kModelType = 3;  // of TrainerSpec, and the next
constexpr std::uint32_t kByteFallback = 35;
constexpr std::uint32_t kCharsmap = 2;  // of NormalizerSpec, and the next two
constexpr std::uint32_t kRemoveExtraWhitespaces = 4;
constexpr std::uint32_t kEscapeWhitespaces = 5;

constexpr std::uint64_t kUnigram = 1;
constexpr const char* kModelTypeNames[] = {"", "unigram", "bpe", "word", "char"};

/// The largest vocabularies have a quarter of it. A piece takes ten times what it may have in a
/// file.
constexpr std::size_t kMaxPieces = 1 << 20;

void expect_type(const WireField& field, WireType type, const char* name) {
  if (field.type != type) throw corruption(fmt::format("{} is of the wrong type", name));
}

bool read_flag(const WireField& field, const char* name) {
  expect_type(field, WireType::kVarint, name);
  return field.value != 0;
}

Model::Piece read_piece(std::string_view message) {
  Model::Piece piece;
  WireReader reader(message);
  for (WireField field; reader.next(field);) {
    if (field.number == kPieceText) {
      expect_type(field, WireType::kBytes, "a piece's text");
      piece.text = field.bytes;
    } else if (field.number == kPieceScore) {
      expect_type(field, WireType::kFixed32, "a piece's score");
      piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    } else if (field.number == kPieceType) {
      expect_type(field, WireType::kVarint, "a piece's type");
      if (field.value < static_cast<std::uint64_t>(Model::PieceType::kNormal) ||
          field.value > static_cast<std::uint64_t>(Model::PieceType::kByte)) {
        throw corruption(fmt::format("a piece is of type {}; there are 1 to 6", field.value));
      }
      piece.type = static_cast<Model::PieceType>(field.value);
    }
  }
  return piece;
}

void read_trainer_spec(std::string_view message, Model& model) {
  WireReader reader(message);
  for (WireField field; reader.next(field);) {
    if (field.number == kModelType) {
      expect_type(field, WireType::kVarint, "model_type");
      if (field.value == kUnigram) continue;
      const bool known = field.value < std::size(kModelTypeNames);
      throw invalid_argument(
          fmt::format("trainer_spec.model_type is {}; only unigram (1) is supported",
                      known ? fmt::format("{} ({})", kModelTypeNames[field.value], field.value)
                            : std::to_string(field.value)));
    }
    if (field.number == kByteFallback) model.byte_fallback = read_flag(field, "byte_fallback");
  }
}

void read_normalizer_spec(std::string_view message, Model& model) {
  WireReader reader(message);
  for (WireField field; reader.next(field);) {
    if (field.number == kCharsmap) {
      expect_type(field, WireType::kBytes, "precompiled_charsmap");
      model.charsmap = field.bytes;
    } else if (field.number == kRemoveExtraWhitespaces) {
      model.remove_extra_whitespaces = read_flag(field, "remove_extra_whitespaces");
    } else if (field.number == kEscapeWhitespaces) {
      model.escape_whitespaces = read_flag(field, "escape_whitespaces");
    }
  }
}

Model parse(std::string_view bytes) {
  Model model;
  bool has_trainer_spec = false;
  bool has_normalizer_spec = false;
  WireReader reader(bytes);
  for (WireField field; reader.next(field);) {
    if (field.number == kPieces) {
      expect_type(field, WireType::kBytes, "a piece");
      if (model.pieces.size() == kMaxPieces) {
        throw corruption(fmt::format("there are more than {} pieces", kMaxPieces));
      }
      model.pieces.push_back(read_piece(field.bytes));
    } else if (field.number == kTrainerSpec) {
      expect_type(field, WireType::kBytes, "trainer_spec");
      read_trainer_spec(field.bytes, model);
      has_trainer_spec = true;
    } else if (field.number == kNormalizerSpec) {
      expect_type(field, WireType::kBytes, "normalizer_spec");
      read_normalizer_spec(field.bytes, model);
      has_normalizer_spec = true;
    }
  }
  // Every model has them, behind its pieces: a file without them was cut off between two fields.
  if (!has_trainer_spec || !has_normalizer_spec) {
    throw corruption(has_trainer_spec ? "normalizer_spec is missing" : "trainer_spec is missing");
  }
  return model;
}

}  // namespace

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, kMaxSentencePieceBytes);
  refuse_lfs_pointer(path, bytes);
  try {
    return parse(bytes);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", path.string(), error.what()));
  }
}

}  // namespace vitrine::encoder
