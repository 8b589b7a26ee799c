#include "index/codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "index/kernels/code_dot.h"
#include "index/kernels/inner_product.h"
#include "index/large_array.h"
#include "index/padding.h"
#include "index/parallel.h"
#include "index/rounding.h"

namespace vitrine::index {
namespace {

constexpr float kLargestCode = 127;
constexpr int kCodeOfZero = 128;
/// What the upper half of a code stands for is 16 times it less this: the lower half is 8 at a
/// mean.
constexpr int kUpperOfZero = 120;
/// Lengths below it have squares that vanish.
constexpr double kLeastSquareRoot = 1e-15;
/// 127 in the upper byte of a query's 16 bits.
constexpr float kLargestStep = 127.0F * 256.0F;
/// Vectors of a sample that is centre enough for all.
constexpr std::size_t kMeanSample = 20'000;
constexpr std::size_t kRowsATask = 1024;

std::vector<float> mean_of_sample(const VectorTable& vectors) {
  const std::size_t dimension = vectors.dimension();
  const std::size_t stride = vectors.size() / kMeanSample + 1;
  std::vector<double> sums(dimension, 0.0);
  std::size_t count = 0;
  for (std::size_t place = 0; place < vectors.size(); place += stride, ++count) {
    const float* vector = vectors.at(place);
    for (std::size_t i = 0; i < dimension; ++i) sums[i] += vector[i];
  }
  std::vector<float> mean(dimension);
  for (std::size_t i = 0; i < dimension; ++i) {
    mean[i] = static_cast<float>(sums[i] / static_cast<double>(count));
  }
  return mean;
}

float largest_magnitude(const float* values, std::size_t count) {
  constexpr std::size_t kLanes = 8;  // one chain of comparisons would wait for each
  float largest[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float magnitude = std::abs(values[i + lane]);
      largest[lane] = magnitude > largest[lane] ? magnitude : largest[lane];
    }
  }
  for (; i < count; ++i) largest[0] = std::max(largest[0], std::abs(values[i]));
  return *std::max_element(largest, largest + kLanes);
}

/// The length of a vector at most, from the float32 sum of its squares: the sum of so many errs by
/// a part in 2^24 for each, and each element by one part of the largest one, whose scale it had.
float length_at_most(float squares, std::size_t count, float largest) {
  const double length = std::sqrt(sum_at_most(squares, count));
  const double rounding =
      2 * kUnit * static_cast<double>(largest) * std::sqrt(static_cast<double>(count)) +
      kLeastSquareRoot;
  return rounded_up(length + rounding);
}

/// Splits codes in halves. codes: [2 * width]. upper, lower: [width].
void split(const std::uint8_t* codes, std::size_t width, std::uint8_t* upper, std::uint8_t* lower) {
  for (std::size_t i = 0; i < width; i += kCodeAlignment, codes += kCodeBlock) {
    for (std::size_t j = 0; j < kCodeAlignment; ++j) {
      const unsigned first = codes[j];
      const unsigned second = codes[kCodeAlignment + j];
      upper[i + j] = static_cast<std::uint8_t>(first >> 4 | (second & 0xf0));
      lower[i + j] = static_cast<std::uint8_t>((first & 0x0f) | (second << 4));
    }
  }
}

}  // namespace

/// For one row at a time.
struct CodeTable::Scratch {
  Scratch(std::size_t dimension, std::size_t width)
      : rotated(dimension), lost(dimension), codes(2 * width, kCodeOfZero) {}

  std::vector<float> rotated;
  std::vector<float> lost;
  std::vector<std::uint8_t> codes;  // those beyond the dimension stay kCodeOfZero
};

struct CodeTable::Arrays {
  LargeArray<std::uint8_t> upper;
  LargeArray<std::uint8_t> lower;
  LargeArray<float> scales;
  LargeArray<float> errors;
  LargeArray<float> rough_errors;
};

CodeTable::CodeTable(const VectorTable& vectors, Leading leading)
    : dimension_(vectors.dimension()),
      width_(padded(vectors.dimension(), kCodeBlock) / 2),
      rotation_(vectors.dimension()),
      mean_(mean_of_sample(vectors)),
      mean_length_(length_of(mean_) * 1.000001),
      size_(vectors.size()) {
  const auto arrays = std::make_shared<Arrays>();
  arrays->upper = LargeArray<std::uint8_t>(size_ * width_);
  arrays->lower = LargeArray<std::uint8_t>(size_ * width_);
  arrays->scales = LargeArray<float>(size_);
  arrays->errors = LargeArray<float>(size_);
  arrays->rough_errors = LargeArray<float>(size_);
  const std::size_t tasks = (vectors.size() + kRowsATask - 1) / kRowsATask;
  parallel_for(tasks, threads_for(vectors.size() * dimension_ * 16), [&](std::size_t task) {
    Scratch scratch(dimension_, width_);
    const std::size_t last = std::min(vectors.size(), (task + 1) * kRowsATask);
    for (std::size_t place = task * kRowsATask; place < last; ++place) {
      encode_row(vectors.at(place), place, *arrays, scratch);
    }
  });
  upper_ = arrays->upper.data();
  lower_ = arrays->lower.data();
  scales_ = arrays->scales.data();
  errors_ = arrays->errors.data();
  rough_errors_ = arrays->rough_errors.data();
  owner_ = arrays;
  own_bytes_ = size_ * (2 * width_ + 3 * sizeof(float));
  if (leading == Leading::kNone) return;
  leading_ = LeadingCodes(vectors, mean_);
  caps_ = Caps(vectors, mean_, leading_);
  packed_ = PackedCodes(leading_, size_, mean_);
}

CodeTable::CodeTable(std::string_view bytes, std::size_t size, std::size_t dimension,
                     std::shared_ptr<const void> owner)
    : dimension_(dimension),
      width_(padded(dimension, kCodeBlock) / 2),
      rotation_(dimension),
      mean_(dimension),
      size_(size),
      owner_(std::move(owner)) {
  const std::size_t mean_bytes = padded(dimension * sizeof(float));
  const std::size_t number_bytes = padded(size * sizeof(float));
  const std::size_t own_bytes = mean_bytes + 3 * number_bytes + 2 * size * width_;
  if (bytes.size() < own_bytes) {
    throw corruption("its codes do not fit its vectors");
  }
  std::memcpy(mean_.data(), bytes.data(), dimension * sizeof(float));
  mean_length_ = length_of(mean_) * 1.000001;
  const char* at = bytes.data() + mean_bytes;
  scales_ = reinterpret_cast<const float*>(at);
  errors_ = reinterpret_cast<const float*>(at + number_bytes);
  rough_errors_ = reinterpret_cast<const float*>(at + 2 * number_bytes);
  upper_ = reinterpret_cast<const std::uint8_t*>(at + 3 * number_bytes);
  lower_ = upper_ + size * width_;
  // Whatever else a file says, scores are then finite: they are sorted.
  const auto possible = [](float value) { return std::abs(value) <= 4.0F; };
  if (!std::all_of(mean_.begin(), mean_.end(), possible) ||
      !std::all_of(scales_, scales_ + size_, possible) ||
      !std::all_of(errors_, errors_ + size_, possible) ||
      !std::all_of(rough_errors_, rough_errors_ + size_, possible)) {
    throw corruption("its codes are not those of unit vectors");
  }
  bytes.remove_prefix(own_bytes);
  const std::size_t leading_bytes = std::min(bytes.size(), LeadingCodes::bytes_of(size, dimension));
  leading_ = LeadingCodes(bytes.substr(0, leading_bytes), size, dimension, owner_);
  caps_ = Caps(bytes.substr(leading_bytes), size, dimension, owner_);
  packed_ = PackedCodes(leading_, size_, mean_);
}

void CodeTable::write_to(const std::function<void(std::string_view)>& write) const {
  write_padded(write, mean_.data(), dimension_ * sizeof(float));
  write_padded(write, scales_, size_ * sizeof(float));
  write_padded(write, errors_, size_ * sizeof(float));
  write_padded(write, rough_errors_, size_ * sizeof(float));
  write_padded(write, upper_, size_ * width_);
  write_padded(write, lower_, size_ * width_);
  leading_.write_to(write);
  caps_.write_to(write);
}

void CodeTable::encode_row(const float* vector, std::size_t place, Arrays& arrays,
                           Scratch& scratch) const {
  float* rotated = scratch.rotated.data();
  for (std::size_t i = 0; i < dimension_; ++i) rotated[i] = vector[i] - mean_[i];
  rotation_.apply(rotated);
  const float largest = largest_magnitude(rotated, dimension_);
  const float scale = largest / kLargestCode;
  const float steps = largest > kLeastElement ? kLargestCode / largest : 0.0F;
  std::uint8_t* codes = scratch.codes.data();
  float* lost = scratch.lost.data();
  float* roughly_lost = rotated;
  for (std::size_t i = 0; i < dimension_; ++i) {
    const float nearest = rounded(rotated[i] * steps);
    const int code = static_cast<int>(nearest) + kCodeOfZero;
    codes[i] = static_cast<std::uint8_t>(code);
    lost[i] = rotated[i] - scale * nearest;
    roughly_lost[i] = rotated[i] - scale * static_cast<float>((code & ~15) - kUpperOfZero);
  }
  split(codes, width_, arrays.upper.data() + place * width_, arrays.lower.data() + place * width_);
  const InnerProductKernel& kernel = inner_product_kernel();
  arrays.scales[place] = scale;
  arrays.errors[place] = length_at_most(kernel.pair(lost, lost, dimension_), dimension_, largest);
  arrays.rough_errors[place] =
      length_at_most(kernel.pair(roughly_lost, roughly_lost, dimension_), dimension_, largest);
}

void CodeTable::unpack(std::size_t place, std::int8_t* out) const {
  const auto less_128 = [](unsigned code) { return static_cast<std::int8_t>(code ^ 0x80U); };
  const std::uint8_t* upper = upper_ + place * width_;
  const std::uint8_t* lower = lower_ + place * width_;
  for (std::size_t i = 0; i < width_; i += kCodeAlignment, out += kCodeBlock) {
    for (std::size_t j = 0; j < kCodeAlignment; ++j) {
      const unsigned high = upper[i + j];
      const unsigned low = lower[i + j];
      out[j] = less_128((high << 4 & 0xf0) | (low & 0x0f));
      out[kCodeAlignment + j] = less_128((high & 0xf0) | low >> 4);
    }
  }
}

QueryCode CodeTable::encode_query(const float* query) const {
  QueryCode code;
  encode_query(query, code);
  return code;
}

void CodeTable::encode_query(const float* query, QueryCode& code) const {
  code.rotated.assign(query, query + dimension_);
  code.high.assign(2 * width_, 0);
  code.low.assign(2 * width_, 0);
  const float* rotated = code.rotated.data();
  rotation_.apply(code.rotated.data());
  const float largest = largest_magnitude(rotated, dimension_);
  const float step = largest / kLargestStep;
  const float inverse = largest > kLeastElement ? kLargestStep / largest : 0.0F;
  std::int8_t* highs = code.high.data();
  std::int8_t* lows = code.low.data();
  std::int32_t high_sum = 0;
  std::int32_t low_sum = 0;
  float squares = 0;  // of what is rotated, and of what the steps leave of it
  float lost_squares = 0;
  float rough_lost_squares = 0;
#pragma omp simd reduction(+ : high_sum, low_sum, squares, lost_squares, rough_lost_squares)
  for (std::size_t i = 0; i < dimension_; ++i) {
    const float value = rotated[i];
    const auto steps = static_cast<std::int32_t>(rounded(value * inverse));
    const std::int32_t high = (steps + 128) >> 8;  // of at most 127 * 256 + 1
    const std::int32_t low = steps - 256 * high;
    highs[i] = static_cast<std::int8_t>(high);
    lows[i] = static_cast<std::int8_t>(low);
    high_sum += high;
    low_sum += low;
    const float lost = value - step * static_cast<float>(steps);
    const float roughly_lost = value - step * static_cast<float>(256 * high);
    squares += value * value;
    lost_squares += lost * lost;
    rough_lost_squares += roughly_lost * roughly_lost;
  }
  code.step = step;
  code.high_sum = high_sum;
  code.low_sum = low_sum;
  const double length = length_at_most(squares, dimension_, largest) * 1.000001;
  code.lost_length = length_at_most(lost_squares, dimension_, largest);
  code.rough_lost_length = length_at_most(rough_lost_squares, dimension_, largest);
  // |x' - mean| <= |x - mean| + |x - x'|
  code.length = rounded_up(length + code.lost_length);
  code.rough_length = rounded_up(length + code.rough_lost_length);
  adopt_query(query, code);
}

void CodeTable::encode_query_for_scan(const float* query, QueryCode& code) const {
  if (leading_.empty()) return encode_query(query, code);
  code.base = inner_product_kernel().pair(query, mean_.data(), dimension_);
  leading_.encode_query(query, code.base, code.leading);
}

void CodeTable::adopt_query(const float* query, QueryCode& code) const {
  code.base = inner_product_kernel().pair(query, mean_.data(), dimension_);
  // What rounding adds, in the words of CodeTable's bound.
  const double radius = kMostLength + mean_length_;  // |R (x - mean)|
  const double of_rotation = 2 * (rotation_.rounding() + kUnit) * radius * kMostLength;
  const double of_score =
      16 * kUnit * (radius * kMostLength + std::abs(static_cast<double>(code.base)));
  const double of_kernels =  // query . x and query . mean
      2 * static_cast<double>(dimension_ + 16) * kUnit * kMostLength * kMostLength;
  const double of_rounding = of_rotation + of_score + of_kernels;
  code.slack = rounded_up((code.lost_length * radius + of_rounding) * 1.01);
  code.rough_slack = rounded_up((code.rough_lost_length * radius + of_rounding) * 1.01);
  if (!leading_.empty()) leading_.encode_query(query, code.base, code.leading);
}

}  // namespace vitrine::index
