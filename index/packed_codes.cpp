#include "index/packed_codes.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "index/kernels/inner_product.h"
#include "index/rounding.h"

namespace vitrine::index {
namespace {

double average(std::span<const float> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

PackedCodes::PackedCodes(const LeadingCodes& leading, std::size_t size,
                         const std::vector<float>& mean) {
  static_assert(kPackedRow == LeadingCodes::kFirstElements);
  static_assert(kPackedZero == LeadingCodes::kCodeOfZero);
  if (leading.empty() || size > kMostPackedRows) return;
  float of_mean[kPackedRow];
  inner_product_kernel().contiguous(mean.data(), leading.axes().data(), kPackedRow, mean.size(),
                                    of_mean);
  std::vector<float> rests(size);
  std::vector<float> lengths(size);
  std::vector<float> lost(size);
  for (std::size_t i = 0; i < size; ++i) {
    float elements[kByteRow];
    LeadingCodes::decode(leading.codes() + i * kByteRow, leading.scales()[i], elements);
    const std::span<const float> all(elements);
    const double length = length_of(all.first(kPackedRow));
    const double of_others = length_of(all.subspan(kPackedRow));
    lengths[i] = rounded_up(length * 1.000001);
    rests[i] =
        rounded_up(std::hypot(leading.rests()[i], of_others + leading.errors()[i]) * 1.000001);
    // Were it a query, it would begin so.
    for (std::size_t j = 0; j < kPackedRow; ++j) elements[j] += of_mean[j];
    std::fill(elements + kPackedRow, elements + kByteRow, 0.0F);
    RoundedWeights weights;
    lost[i] = std::sqrt(byte_weights_kernel()
                            .round(elements, packed_bounds_kernel().most_weight, weights)
                            .rough_lost_square);
  }
  usual_rest_ = average(rests);
  usual_lost_ = average(lost);
  longest_rest_ = *std::max_element(rests.begin(), rests.end());
  longest_ = *std::max_element(lengths.begin(), lengths.end());

  constexpr std::size_t kRowsOfGroup = kPackedGroup * kPackedRows;
  const std::size_t groups = (size + kRowsOfGroup - 1) / kRowsOfGroup;
  const auto blocks = std::make_shared<LargeArray<PackedBlock>>(groups * kPackedGroup);
  for (std::size_t i = 0; i < groups * kPackedGroup; ++i) {
    std::fill_n((*blocks)[i].errors, kPackedRows, kNoPackedRow);
  }
  for (std::size_t i = 0; i < size; ++i) {
    PackedBlock& block = (*blocks)[i / kPackedRows];
    const std::size_t row = i % kPackedRows;
    const std::uint8_t* code = leading.codes() + i * kByteRow;
    for (std::size_t j = 0; j < kPackedRow; ++j) {
      block.codes[j / kPackedElements][row][j % kPackedElements] = code[j];
    }
    block.scales[row] = leading.scales()[i];
    block.errors[row] = rounded_up(kMostLength * leading.errors()[i] + usual_rest_ * rests[i] +
                                   usual_lost_ * lengths[i]);
  }
  rows_ = {blocks->data(), size};
  blocks_ = blocks;
}

PackedQuery PackedCodes::encode(const RoundedQuery& query) const {
  const double of_rest = positive_part(query.rest - usual_rest_) * longest_rest_;
  const double of_lost = positive_part(query.lost - usual_lost_) * longest_;
  return {query.weights, rounded_up(1.01 * (query.slack + of_rest + of_lost))};
}

}  // namespace vitrine::index
