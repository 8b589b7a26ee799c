#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

/// Protobuf's wire format, as far as a SentencePiece model is written in it. What the numbers of
/// fields mean is the caller's knowledge.
namespace vitrine::encoder {

/// How a field's value is written; the numbers are the format's own.
enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// One field of a message.
struct WireField {
  std::uint32_t number = 0;
  WireType type = WireType::kVarint;
  std::uint64_t value = 0;  ///< of the numeric types; a float is the bits of kFixed32
  std::string_view bytes;   ///< of kBytes: into the message
};

/// Goes through the fields of a message. The bytes must outlive it.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}

  /// The next field; false at the message's end. Throws Corruption when the message ends within a
  /// field or is not in this format; groups, which nothing has written for long, are not.
  bool next(WireField& field);

 private:
  std::uint64_t read_varint();
  std::uint64_t read_fixed(std::size_t bytes);

  std::string_view rest_;
};

}  // namespace vitrine::encoder
