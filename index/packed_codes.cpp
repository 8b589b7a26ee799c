#include "index/packed_codes.h"

#include <algorithm>

namespace vitrine::index {

PackedCodes::PackedCodes(const LeadingCodes& leading, std::size_t size) {
  if (leading.empty() || size > kMostPackedRows) return;
  const auto blocks =
      std::make_shared<LargeArray<PackedBlock>>((size + kPackedRows - 1) / kPackedRows);
  for (std::size_t i = 0; i < size; ++i) {
    PackedBlock& block = (*blocks)[i / kPackedRows];
    const std::size_t row = i % kPackedRows;
    const std::uint8_t* code = leading.codes() + i * kByteRow;
    for (std::size_t j = 0; j < kByteRow; j += kPackedElements) {
      std::copy_n(code + j, kPackedElements, block.codes[j / kPackedElements][row]);
    }
    block.scales[row] = leading.scales()[i];
    block.errors[row] = leading.errors()[i];
    block.rests[row] = leading.rests()[i];
  }
  rows_ = {blocks->data(), size};
  blocks_ = blocks;
}

}  // namespace vitrine::index
