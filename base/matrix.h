#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace vitrine {

/// A read-only [rows, cols] float32 matrix, row-major and contiguous, owned by someone else. Where
/// a call may take less than a microsecond it is handed on by reference: a copy of what has only
/// just been written waits until that is in the cache.
struct MatrixView {
  const float* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;

  std::span<const float> row(std::size_t i) const { return {data + i * cols, cols}; }
};

/// A [rows, cols] float32 matrix that owns its elements, row-major and contiguous.
class Matrix {
 public:
  Matrix() = default;
  /// All elements zero.
  Matrix(std::size_t rows, std::size_t cols) : rows_(rows), cols_(cols), values_(rows * cols) {}

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  bool empty() const { return values_.empty(); }
  float* data() { return values_.data(); }
  const float* data() const { return values_.data(); }
  std::span<float> row(std::size_t i) { return {values_.data() + i * cols_, cols_}; }
  std::span<const float> row(std::size_t i) const { return {values_.data() + i * cols_, cols_}; }
  MatrixView view() const { return {values_.data(), rows_, cols_}; }
  operator MatrixView() const { return view(); }  // NOLINT(google-explicit-constructor)

 private:
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::vector<float> values_;
};

}  // namespace vitrine
