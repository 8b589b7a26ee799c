#include "index/codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "index/kernels/code_dot.h"
#include "index/kernels/inner_product.h"
#include "index/large_array.h"
#include "index/parallel.h"

namespace vitrine::index {
namespace {

constexpr float kLargestCode = 127;
constexpr int kCodeOfZero = 128;
/// Adding it to a float of few bits drops what is behind the point, rounding to the nearest.
constexpr float kRounder = 1.5F * (1 << 23);
/// Lengths below it have squares that vanish.
constexpr double kLeastSquareRoot = 1e-15;
/// 127 in the upper byte of a query's 16 bits.
constexpr double kLargestStep = 127.0 * 256.0;
/// Vectors of a sample that is centre enough for all.
constexpr std::size_t kMeanSample = 20'000;
constexpr std::size_t kRowsATask = 1024;

/// Half a unit in the last place of 1.
const double kUnit = std::ldexp(1.0, -24);
/// Lengths are 1 within 1e-3 (VectorIndex), so that a vector is at most this long, and at most
/// twice this far from the mean.
constexpr double kMostLength = 1.001;

float rounded_up(double value) {
  return std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
}

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

std::size_t padded(std::size_t size) {
  return (size + kCodeAlignment - 1) / kCodeAlignment * kCodeAlignment;
}

}  // namespace

struct CodeTable::Arrays {
  LargeArray<std::uint8_t> codes;
  LargeArray<float> scales;
  LargeArray<float> errors;
};

CodeTable::CodeTable(const VectorTable& vectors)
    : dimension_(vectors.dimension()),
      width_(padded(vectors.dimension())),
      rotation_(vectors.dimension()),
      mean_(mean_of_sample(vectors)),
      size_(vectors.size()) {
  const auto arrays = std::make_shared<Arrays>();
  arrays->codes = LargeArray<std::uint8_t>(size_ * width_);
  arrays->scales = LargeArray<float>(size_);
  arrays->errors = LargeArray<float>(size_);
  const std::size_t tasks = (vectors.size() + kRowsATask - 1) / kRowsATask;
  parallel_for(tasks, threads_for(vectors.size() * dimension_ * 16), [&](std::size_t task) {
    std::vector<float> rotated(dimension_);
    const std::size_t last = std::min(vectors.size(), (task + 1) * kRowsATask);
    for (std::size_t place = task * kRowsATask; place < last; ++place) {
      encode_row(vectors.at(place), place, *arrays, rotated.data());
    }
  });
  codes_ = arrays->codes.data();
  scales_ = arrays->scales.data();
  errors_ = arrays->errors.data();
  owner_ = arrays;
}

CodeTable::CodeTable(std::string_view bytes, std::size_t size, std::size_t dimension,
                     std::shared_ptr<const void> owner)
    : dimension_(dimension),
      width_(padded(dimension)),
      rotation_(dimension),
      mean_(dimension),
      size_(size),
      owner_(std::move(owner)) {
  const std::size_t mean_bytes = padded(dimension * sizeof(float));
  const std::size_t number_bytes = padded(size * sizeof(float));
  if (bytes.size() != mean_bytes + 2 * number_bytes + size * width_) {
    throw corruption("its codes do not fit its vectors");
  }
  std::memcpy(mean_.data(), bytes.data(), dimension * sizeof(float));
  const char* at = bytes.data() + mean_bytes;
  scales_ = reinterpret_cast<const float*>(at);
  errors_ = reinterpret_cast<const float*>(at + number_bytes);
  codes_ = reinterpret_cast<const std::uint8_t*>(at + 2 * number_bytes);
  // Whatever else a file says, scores are then finite: they are sorted.
  const auto possible = [](float value) { return std::abs(value) <= 4.0F; };
  if (!std::all_of(mean_.begin(), mean_.end(), possible) ||
      !std::all_of(scales_, scales_ + size_, possible) ||
      !std::all_of(errors_, errors_ + size_, possible)) {
    throw corruption("its codes are not those of unit vectors");
  }
}

void CodeTable::write_to(const std::function<void(std::string_view)>& write) const {
  const auto write_padded = [&](const void* data, std::size_t size) {
    write({static_cast<const char*>(data), size});
    write(std::string(padded(size) - size, '\0'));
  };
  write_padded(mean_.data(), dimension_ * sizeof(float));
  write_padded(scales_, size_ * sizeof(float));
  write_padded(errors_, size_ * sizeof(float));
  write_padded(codes_, size_ * width_);
}

void CodeTable::encode_row(const float* vector, std::size_t place, Arrays& arrays,
                           float* rotated) const {
  for (std::size_t i = 0; i < dimension_; ++i) rotated[i] = vector[i] - mean_[i];
  rotation_.apply(rotated);
  const float largest = largest_magnitude(rotated, dimension_);
  const float scale = largest / kLargestCode;
  const float steps = largest > 0 ? kLargestCode / largest : 0.0F;
  std::uint8_t* code = arrays.codes.data() + place * width_;
  for (std::size_t i = 0; i < dimension_; ++i) {
    const float nearest = (rotated[i] * steps + kRounder) - kRounder;
    code[i] = static_cast<std::uint8_t>(static_cast<int>(nearest) + kCodeOfZero);
    rotated[i] -= scale * nearest;  // what is lost
  }
  const float squares = inner_product_kernel().pair(rotated, rotated, dimension_);
  std::fill(code + dimension_, code + width_, static_cast<std::uint8_t>(kCodeOfZero));
  arrays.scales[place] = scale;
  // The sum of so many squares errs by a part in 2^24 for each, and each element lost by one part
  // of the largest element.
  const auto count = static_cast<double>(dimension_);
  const double length = std::sqrt(static_cast<double>(squares) * (1 + (count + 2) * kUnit));
  const double rounding =
      2 * kUnit * static_cast<double>(largest) * std::sqrt(count) + kLeastSquareRoot;
  arrays.errors[place] = rounded_up(length + rounding);
}

QueryCode CodeTable::encode_query(const float* query) const {
  QueryCode code;
  code.high.assign(width_, 0);
  code.low.assign(width_, 0);
  double base = 0;
  for (std::size_t i = 0; i < dimension_; ++i) {
    base += static_cast<double>(query[i]) * static_cast<double>(mean_[i]);
  }
  code.base = static_cast<float>(base);

  std::vector<float> rotated(query, query + dimension_);
  rotation_.apply(rotated.data());
  const double largest = largest_magnitude(rotated.data(), dimension_);
  const auto step = static_cast<float>(largest / kLargestStep);
  code.step = step;
  const double inverse = step > 0 ? 1.0 / static_cast<double>(step) : 0.0;
  double squares = 0;
  double lost_squares = 0;
  std::int32_t sum_high = 0;
  std::int32_t sum_low = 0;
  for (std::size_t i = 0; i < dimension_; ++i) {
    const double value = rotated[i];
    const int steps = static_cast<int>(value * inverse + (value < 0 ? -0.5 : 0.5));
    const int high = std::clamp((steps + 128) >> 8, -127, 127);
    const int low = std::clamp(steps - 256 * high, -128, 127);
    code.high[i] = static_cast<std::int8_t>(high);
    code.low[i] = static_cast<std::int8_t>(low);
    sum_high += high;
    sum_low += low;
    const double lost = value - static_cast<double>(step) * (256 * high + low);
    squares += value * value;
    lost_squares += lost * lost;
  }
  code.high_offset = kCodeOfZero * sum_high;
  code.low_offset = kCodeOfZero * sum_low;

  // What rounding adds, in the words of CodeTable's bound.
  const double length = std::sqrt(squares);
  const double radius = 2 * kMostLength * 1.01;  // |scale * (code - 128)|, |R (x - mean)|
  const double of_query = std::sqrt(lost_squares) * radius;
  const double of_rotation = 2 * (rotation_.rounding() + kUnit) * radius * kMostLength;
  const double of_score = 8 * kUnit * (radius * kMostLength + std::abs(base));
  const double of_kernel = static_cast<double>(dimension_ + 16) * kUnit * kMostLength * kMostLength;
  code.length = rounded_up(length * 1.000001);
  code.slack = rounded_up((of_query + of_rotation + of_score + of_kernel) * 1.01);
  return code;
}

}  // namespace vitrine::index
