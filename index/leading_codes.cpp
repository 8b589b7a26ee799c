#include "index/leading_codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "base/error.h"
#include "index/kernels/inner_product.h"
#include "index/kernels/weighted_sum.h"
#include "index/large_array.h"
#include "index/padding.h"
#include "index/parallel.h"
#include "index/principal_axes.h"
#include "index/products.h"
#include "index/rotation.h"
#include "index/rounding.h"

namespace vitrine::index {
namespace {

/// Fewer vectors are scanned before they would repay the axes.
constexpr std::size_t kLeastVectors = 256;
/// The axes that are learnt take the square of the dimension, and their number the cube.
constexpr std::size_t kMostColumns = 1024;
constexpr std::size_t kSample = 4096;
/// Vectors that suffice to see that others vary along many axes.
constexpr std::size_t kSmallSample = 512;
/// Of how far vectors are from their mean, squared, so much must lie along the axes.
constexpr double kLeastShare = 0.99;
constexpr std::size_t kRowsATask = 1024;
constexpr std::size_t kRowsAtATime = 64;

constexpr float kLargestCode = 127;

/// Numbers of a file beside the axes.
struct Header {
  float skew;
  float longest;
  float longest_rest;
};

/// Vectors less their mean.
Matrix centred(const VectorTable& vectors, const std::vector<float>& mean, std::size_t count,
               const std::function<std::size_t(std::size_t)>& place_of) {
  Matrix rows(count, mean.size());
  for (std::size_t i = 0; i < count; ++i) {
    const float* vector = vectors.at(place_of(i));
    const std::span<float> row = rows.row(i);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = vector[j] - mean[j];
  }
  return rows;
}

Matrix sample_of(const VectorTable& vectors, const std::vector<float>& mean, std::size_t most) {
  const std::size_t count = std::min(most, vectors.size());
  return centred(vectors, mean, count, [&](std::size_t i) { return i * vectors.size() / count; });
}

/// False where it is certain that no kByteRow axes have kLeastShare of the rows' squared lengths.
/// Of the variances v along all axes, (sum v)^2 / sum v^2 is at most the number of axes divided by
/// the square of their share; both sums are those of the rows' inner products.
bool may_be_narrow(const Matrix& rows) {
  double lengths = 0;
  double squares = 0;
  std::vector<float> products(kRowsAtATime * rows.rows());
  for (std::size_t first = 0; first < rows.rows(); first += kRowsAtATime) {
    const std::size_t count = std::min(kRowsAtATime, rows.rows() - first);
    products_of_rows({rows.row(first).data(), count, rows.cols()}, rows, products.data());
    for (std::size_t i = 0; i < count; ++i) {
      const float* own = products.data() + i * rows.rows();
      lengths += own[first + i];
      for (std::size_t j = 0; j < rows.rows(); ++j) squares += double{own[j]} * own[j];
    }
  }
  return squares * kByteRow >= kLeastShare * kLeastShare * lengths * lengths;
}

/// The axis of the mean and those along which the sample varies most, made orthonormal.
Matrix leading_axes(const Matrix& sample, const std::vector<float>& mean) {
  const std::size_t cols = sample.cols();
  const Matrix principal = principal_axes(sample, std::vector<float>(cols, 0.0F));
  Matrix axes(kByteRow, cols);
  std::size_t found = 0;
  const auto add = [&](std::span<const float> direction) {
    std::vector<double> axis(direction.begin(), direction.end());
    // Twice: what rounding leaves of the other axes at first is long beside a short rest.
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t i = 0; i < found; ++i) {
        const std::span<const float> other = axes.row(i);
        double product = 0;
        for (std::size_t j = 0; j < cols; ++j) product += axis[j] * other[j];
        for (std::size_t j = 0; j < cols; ++j) axis[j] -= product * other[j];
      }
    }
    double square = 0;
    for (const double value : axis) square += value * value;
    if (square < 1e-6) return;  // the others say it
    const std::span<float> own = axes.row(found++);
    for (std::size_t j = 0; j < cols; ++j) own[j] = static_cast<float>(axis[j] / std::sqrt(square));
  };
  add(mean);
  for (std::size_t i = 0; i < cols && found < kByteRow; ++i) add(principal.row(i));
  return axes;
}

/// Of the rows' squared lengths, what lies along the axes.
double share_along(const Matrix& axes, const Matrix& rows) {
  const InnerProductKernel& kernel = inner_product_kernel();
  double along = 0;
  double all = 0;
  float elements[kByteRow];
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const std::span<const float> row = rows.row(i);
    kernel.contiguous(row.data(), axes.data(), kByteRow, row.size(), elements);
    for (const float element : elements) along += static_cast<double>(element) * element;
    all += kernel.pair(row.data(), row.data(), row.size());
  }
  return all > 0 ? along / all : 0;
}

/// The axes' R A: each element of a vector along the axes of a part is then about as large as any
/// other.
void rotate(Matrix& axes) {
  constexpr std::size_t kFirst = LeadingCodes::kFirstElements;
  const Rotation first(kFirst);
  const Rotation others(kByteRow - kFirst);
  float column[kByteRow];
  for (std::size_t j = 0; j < axes.cols(); ++j) {
    for (std::size_t i = 0; i < kByteRow; ++i) column[i] = axes.row(i)[j];
    first.apply(column);
    others.apply(column + kFirst);
    for (std::size_t i = 0; i < kByteRow; ++i) axes.row(i)[j] = column[i];
  }
}

/// How far the axes are from orthonormal: |A A^T - 1|, at most.
double skew_of(const Matrix& axes) {
  double squares = 0;
  for (std::size_t i = 0; i < kByteRow; ++i) {
    for (std::size_t j = 0; j < kByteRow; ++j) {
      double product = i == j ? -1 : 0;
      for (std::size_t k = 0; k < axes.cols(); ++k) {
        product += static_cast<double>(axes.row(i)[k]) * axes.row(j)[k];
      }
      squares += product * product;
    }
  }
  return std::sqrt(squares) * 1.001 + 1e-12;
}

/// What rounding loses of all elements of a vector along the axes, per length of the vector.
double rounding_of(std::size_t dimension) {
  return std::sqrt(static_cast<double>(kByteRow)) * static_cast<double>(dimension + 4) * kUnit *
         1.01;
}

/// The length of what the axes leave of a vector, at most. square: of its length, at most. along:
/// of what rounding has it along the axes.
double rest_of(double square, double along, double skew, double rounding) {
  const double least_along = std::max(0.0, std::sqrt(along) - rounding);
  return std::sqrt(std::max(0.0, square - least_along * least_along * (1 - skew)));
}

/// How long what steps lost of a query's elements is, at most.
double lost_length(float square_lost, float largest) {
  return std::sqrt(sum_at_most(square_lost, kByteRow)) + 16 * kUnit * largest;
}

double square_of(const float* elements) {
  double square = 0;
  for (std::size_t i = 0; i < kByteRow; ++i)
    square += static_cast<double>(elements[i]) * elements[i];
  return square;
}

float largest_of(const float* elements) {
  float largest = 0;
#pragma omp simd reduction(max : largest)
  for (std::size_t i = 0; i < kByteRow; ++i) {
    const float magnitude = std::abs(elements[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

}  // namespace

struct LeadingCodes::Arrays {
  LargeArray<std::uint8_t> codes;
  LargeArray<float> scales;
  LargeArray<float> errors;
  LargeArray<float> rests;
};

LeadingCodes::LeadingCodes(const VectorTable& vectors, const std::vector<float>& mean) {
  if (vectors.size() < kLeastVectors || vectors.dimension() < 2 * kByteRow ||
      vectors.dimension() > kMostColumns ||
      !may_be_narrow(sample_of(vectors, mean, kSmallSample))) {
    return;
  }
  const Matrix sample = sample_of(vectors, mean, kSample);
  Matrix axes = leading_axes(sample, mean);
  if (share_along(axes, sample) < kLeastShare) return;
  rotate(axes);
  set_axes(std::move(axes));
  size_ = vectors.size();
  skew_ = rounded_up(skew_of(axes_));
  const auto arrays = std::make_shared<Arrays>();
  encode(vectors, mean, *arrays);
  rows_ = {arrays->codes.data(), arrays->scales.data(), arrays->errors.data(),
           arrays->rests.data()};
  owner_ = arrays;
  own_bytes_ = size_ * (kByteRow + 3 * sizeof(float));
}

void LeadingCodes::set_axes(Matrix axes) {
  axes_ = std::move(axes);
  const auto transposed = [&](std::size_t elements) {
    const auto columns = std::make_shared<LargeArray<float>>(axes_.cols() * elements);
    for (std::size_t i = 0; i < elements; ++i) {
      for (std::size_t j = 0; j < axes_.cols(); ++j) (*columns)[j * elements + i] = axes_.row(i)[j];
    }
    return columns;
  };
  columns_ = transposed(kByteRow);
  first_columns_ = transposed(kFirstElements);
}

void LeadingCodes::encode(const VectorTable& vectors, const std::vector<float>& mean,
                          Arrays& arrays) {
  arrays.codes = LargeArray<std::uint8_t>(size_ * kByteRow);
  arrays.scales = LargeArray<float>(size_);
  arrays.errors = LargeArray<float>(size_);
  arrays.rests = LargeArray<float>(size_);
  const std::size_t dimension = vectors.dimension();
  const double rounding = rounding_of(dimension);
  const std::size_t tasks = (size_ + kRowsATask - 1) / kRowsATask;
  std::mutex mutex;
  double longest = 0;
  parallel_for(tasks, threads_for(size_ * dimension * kByteRow), [&](std::size_t task) {
    double own_longest = 0;
    float elements[kRowsAtATime * kByteRow];
    const std::size_t end = std::min(size_, (task + 1) * kRowsATask);
    for (std::size_t first = task * kRowsATask; first < end; first += kRowsAtATime) {
      const std::size_t count = std::min(kRowsAtATime, end - first);
      const Matrix rows = centred(vectors, mean, count, [&](std::size_t i) { return first + i; });
      products_of_rows(rows, axes_, elements);
      for (std::size_t i = 0; i < count; ++i) {
        const float* own = elements + i * kByteRow;
        const float largest = largest_of(own);
        const float scale = largest / kLargestCode;
        const float steps = largest > kLeastElement ? kLargestCode / largest : 0.0F;
        std::uint8_t* code = arrays.codes.data() + (first + i) * kByteRow;
        double square = 0;
        double lost_square = 0;
        for (std::size_t j = 0; j < kByteRow; ++j) {
          const float nearest = rounded(own[j] * steps);
          code[j] = static_cast<std::uint8_t>(static_cast<int>(nearest) + kCodeOfZero);
          const double stored = static_cast<double>(scale) * nearest;
          square += stored * stored;
          lost_square += (own[j] - stored) * (own[j] - stored);
        }
        own_longest = std::max(own_longest, std::sqrt(square));
        arrays.scales[first + i] = scale;
        arrays.errors[first + i] = rounded_up(std::sqrt(lost_square));
        const float* row = rows.row(i).data();
        const double of_row = inner_product_kernel().pair(row, row, dimension);
        arrays.rests[first + i] = rounded_up(rest_of(sum_at_most(of_row, dimension), square_of(own),
                                                     skew_, rounding * std::sqrt(of_row)));
      }
    }
    const std::lock_guard lock(mutex);
    longest = std::max(longest, own_longest);
  });
  longest_ = rounded_up(longest * 1.000001);
  longest_rest_ = *std::max_element(arrays.rests.data(), arrays.rests.data() + size_);
}

std::size_t LeadingCodes::bytes_of(std::size_t size, std::size_t dimension) {
  return padded(sizeof(Header)) + padded(kByteRow * dimension * sizeof(float)) +
         3 * padded(size * sizeof(float)) + padded(size * kByteRow);
}

LeadingCodes::LeadingCodes(std::string_view bytes, std::size_t size, std::size_t dimension,
                           std::shared_ptr<const void> owner)
    : size_(size), owner_(std::move(owner)) {
  if (bytes.empty()) return;
  // The padding at the end may be missing.
  const std::size_t most = bytes_of(size, dimension);
  const std::size_t least = most - padded(size * kByteRow) + size * kByteRow;
  if (bytes.size() < least || bytes.size() > most) {
    throw corruption("its leading codes do not fit its vectors");
  }
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  skew_ = header.skew;
  longest_ = header.longest;
  longest_rest_ = header.longest_rest;
  const char* at = bytes.data() + padded(sizeof(Header));
  Matrix axes(kByteRow, dimension);
  std::memcpy(axes.data(), at, kByteRow * dimension * sizeof(float));
  set_axes(std::move(axes));
  at += padded(kByteRow * dimension * sizeof(float));
  const std::size_t number_bytes = padded(size * sizeof(float));
  rows_.scales = reinterpret_cast<const float*>(at);
  rows_.errors = reinterpret_cast<const float*>(at + number_bytes);
  rows_.rests = reinterpret_cast<const float*>(at + 2 * number_bytes);
  rows_.codes = reinterpret_cast<const std::uint8_t*>(at + 3 * number_bytes);
  // Whatever else a file says, scores are then finite: they are sorted.
  const auto possible = [](float value) { return std::abs(value) <= 4.0F; };
  if (!possible(skew_) || !possible(longest_) || !possible(longest_rest_) ||
      !std::all_of(axes_.data(), axes_.data() + kByteRow * dimension, possible) ||
      !std::all_of(rows_.scales, rows_.scales + size, possible) ||
      !std::all_of(rows_.errors, rows_.errors + size, possible) ||
      !std::all_of(rows_.rests, rows_.rests + size, possible)) {
    throw corruption("its leading codes are not those of unit vectors");
  }
}

void LeadingCodes::write_to(const std::function<void(std::string_view)>& write) const {
  if (empty()) return;
  const Header header = {skew_, longest_, longest_rest_};
  write_padded(write, &header, sizeof(header));
  write_padded(write, axes_.data(), kByteRow * axes_.cols() * sizeof(float));
  write_padded(write, rows_.scales, size_ * sizeof(float));
  write_padded(write, rows_.errors, size_ * sizeof(float));
  write_padded(write, rows_.rests, size_ * sizeof(float));
  write_padded(write, rows_.codes, size_ * kByteRow);
}

float LeadingCodes::encode_centre(const float* elements, std::uint8_t* code) const {
  const float largest = largest_of(elements);
  const float steps = largest > kLeastElement ? kLargestCode / largest : 0.0F;
  float square = 0;
  for (std::size_t i = 0; i < kByteRow; ++i) {
    const float nearest = rounded(elements[i] * steps);
    code[i] = static_cast<std::uint8_t>(static_cast<int>(nearest) + kCodeOfZero);
    square += nearest * nearest;
  }
  if (square == 0) return 0;
  return std::min(largest / kLargestCode, longest_ * 0.9999F / std::sqrt(square));
}

/// In the words of LeadingCodes.
LeadingCodes::QueryBound LeadingCodes::bound_of(const float* query, float base,
                                                float square) const {
  const std::size_t dimension = axes_.cols();
  const double rounding = rounding_of(dimension);
  const double radius = kMostLength + kMostLength;                            // |x - mean|
  const double length = std::sqrt(sum_at_most(square, kByteRow)) + rounding;  // |A q|
  const double whole = sum_at_most(inner_product_kernel().pair(query, query, dimension), dimension);
  const double rest = rest_of(whole, square * (1 - (kByteRow + 2) * kUnit), skew_, rounding);
  const double of_axes = length * (rounding + skew_) * radius + rounding * longest_ +
                         2 * kUnit * radius;  // x - mean is rounded too
  const double of_score = 16 * kUnit * (length * longest_ + std::abs(static_cast<double>(base)));
  const double of_kernels =  // query . x and query . mean
      2 * static_cast<double>(dimension + 16) * kUnit * kMostLength * kMostLength;
  return {length, whole, rest, of_axes + of_score + of_kernels};
}

void LeadingCodes::encode_query(const float* query, float base, LeadingQuery& code) const {
  static_assert(kSummedRow == kByteRow);
  float elements[kByteRow];
  weighted_sum_kernel().sum(query, columns_->data(), axes_.cols(), elements);
  const ByteWeightsLoss loss = byte_weights_kernel().split(elements, code);
  const QueryBound bound = bound_of(query, base, loss.square);
  code.base = base;
  code.length = rounded_up(bound.length * 1.000001);
  code.whole_length = static_cast<float>(std::sqrt(bound.square));
  code.rest = rounded_up(bound.rest * 1.000001);
  code.slack =
      rounded_up(1.01 * (lost_length(loss.lost_square, loss.largest) * longest_ + bound.rounding));
  // Half a step an element, and what rounding makes of it.
  code.rough_length = rounded_up(bound.length * std::sqrt(static_cast<double>(kByteRow)) * 0.501);
  code.rough_slack =
      rounded_up(1.01 * (lost_length(loss.rough_lost_square, loss.largest) * longest_ +
                         bound.rest * longest_rest_ + bound.rounding));
}

RoundedQuery LeadingCodes::round_query(const float* query, int most_weight) const {
  static_assert(kNarrowSummedRow == kFirstElements && kSummedRow == kByteRow);
  float elements[kByteRow];
  weighted_sum_kernel().narrow_sum(query, first_columns_->data(), axes_.cols(), elements);
  RoundedQuery code;
  const ByteWeightsLoss loss = byte_weights_kernel().round(elements, most_weight, code.weights);
  const QueryBound bound = bound_of(query, 0, loss.square);
  code.length = bound.length;
  code.rest = bound.rest;
  code.lost = lost_length(loss.rough_lost_square, loss.largest);
  code.slack = bound.rounding;
  return code;
}

}  // namespace vitrine::index
