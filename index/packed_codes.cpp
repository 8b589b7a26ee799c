#include "index/packed_codes.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "index/rounding.h"

namespace vitrine::index {

PackedCodes::PackedCodes(const LeadingCodes& leading, std::size_t size) {
  if (leading.empty() || size > kMostPackedRows) return;
  const auto blocks =
      std::make_shared<LargeArray<PackedBlock>>((size + kPackedRows - 1) / kPackedRows);
  const std::span<const float> rests(leading.rests(), size);
  usual_rest_ = std::accumulate(rests.begin(), rests.end(), 0.0) / static_cast<double>(size);
  longest_rest_ = *std::max_element(rests.begin(), rests.end());
  for (std::size_t i = 0; i < size; ++i) {
    PackedBlock& block = (*blocks)[i / kPackedRows];
    const std::size_t row = i % kPackedRows;
    const std::uint8_t* code = leading.codes() + i * kByteRow;
    for (std::size_t j = 0; j < kByteRow; j += kPackedElements) {
      std::copy_n(code + j, kPackedElements, block.codes[j / kPackedElements][row]);
    }
    block.scales[row] = leading.scales()[i];
    block.errors[row] = rounded_up(kMostLength * leading.errors()[i] + usual_rest_ * rests[i]);
  }
  rows_ = {blocks->data(), size};
  blocks_ = blocks;
}

PackedQuery PackedCodes::encode(const RoundedQuery& query) const {
  const double of_rest = std::max(0.0, query.rest - usual_rest_) * longest_rest_;
  return {query.weights, query.score, rounded_up(1.01 * (query.slack + of_rest))};
}

}  // namespace vitrine::index
