#include "encoder/protobuf_wire.h"

#include "base/error.h"

namespace vitrine::encoder {
namespace {

constexpr std::uint64_t kMaxFieldNumber = (1U << 29) - 1;
constexpr int kTypeBits = 3;

}  // namespace

std::uint64_t WireReader::read_varint() {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 10; ++i) {
    if (i == rest_.size()) throw corruption("the message ends within a number");
    const auto byte = static_cast<std::uint8_t>(rest_[i]);
    value |= std::uint64_t{byte & 0x7fU} << (7 * i);
    if (byte < 0x80) {
      rest_.remove_prefix(i + 1);
      return value;
    }
  }
  throw corruption("a number has more than ten bytes");
}

std::uint64_t WireReader::read_fixed(std::size_t bytes) {
  if (rest_.size() < bytes) throw corruption("the message ends within a number");
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= std::uint64_t{static_cast<std::uint8_t>(rest_[i])} << (8 * i);
  }
  rest_.remove_prefix(bytes);
  return value;
}

bool WireReader::next(WireField& field) {
  if (rest_.empty()) return false;
  const std::uint64_t key = read_varint();
  const std::uint64_t number = key >> kTypeBits;
  if (number == 0 || number > kMaxFieldNumber) throw corruption("a field has an invalid number");
  field = {};
  field.number = static_cast<std::uint32_t>(number);
  field.type = static_cast<WireType>(key & ((1U << kTypeBits) - 1));
  switch (field.type) {
    case WireType::kVarint:
      field.value = read_varint();
      return true;
    case WireType::kFixed64:
      field.value = read_fixed(8);
      return true;
    case WireType::kFixed32:
      field.value = read_fixed(4);
      return true;
    case WireType::kBytes: {
      const std::uint64_t size = read_varint();
      if (size > rest_.size()) throw corruption("the message ends within a field");
      field.bytes = rest_.substr(0, size);
      rest_.remove_prefix(size);
      return true;
    }
  }
  throw corruption("a field is of an unknown type");
}

}  // namespace vitrine::encoder
