#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "encoder/sentencepiece_model.h"

namespace vitrine::encoder {

inline void append_varint(std::string& message, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) message += static_cast<char>((value & 0x7f) | 0x80);
  message += static_cast<char>(value);
}

inline void append_number(std::string& message, std::uint32_t field, std::uint64_t value) {
  append_varint(message, field << 3);
  append_varint(message, value);
}

inline void append_float(std::string& message, std::uint32_t field, float value) {
  append_varint(message, field << 3 | 5);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (int i = 0; i < 4; ++i) message += static_cast<char>(bits >> (8 * i) & 0xff);
}

inline void append_bytes(std::string& message, std::uint32_t field, std::string_view bytes) {
  append_varint(message, field << 3 | 2);
  append_varint(message, bytes.size());
  message += bytes;
}

/// The bytes of a spiece.model.
inline std::string serialize(const SentencePieceModel& model) {
  std::string message;
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    std::string part;
    append_bytes(part, 1, piece.text);
    append_float(part, 2, piece.score);
    append_number(part, 3, static_cast<std::uint64_t>(piece.type));
    append_bytes(message, 1, part);
  }
  std::string trainer_spec;
  append_number(trainer_spec, 3, 1);
  append_number(trainer_spec, 35, model.byte_fallback ? 1 : 0);
  append_bytes(message, 2, trainer_spec);
  std::string normalizer_spec;
  append_bytes(normalizer_spec, 2, model.charsmap);
  append_number(normalizer_spec, 4, model.remove_extra_whitespaces ? 1 : 0);
  append_number(normalizer_spec, 5, model.escape_whitespaces ? 1 : 0);
  append_bytes(message, 3, normalizer_spec);
  return message;
}

}  // namespace vitrine::encoder
