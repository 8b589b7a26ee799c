#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "base/matrix.h"

namespace vitrine::index {

/// An array of numbers, zero at first, for what is scanned from end to end or reached at random: on
/// huge pages where the system gives them, and written for the first time by whoever fills it.
template <class T>
class LargeArray {
  static_assert(std::is_trivial_v<T>);

 public:
  LargeArray() = default;
  /// Throws std::bad_alloc.
  explicit LargeArray(std::size_t size) : size_(size) {
    if (size == 0) return;
    if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
    void* data =
        mmap(nullptr, size * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::bad_alloc();
    madvise(data, size * sizeof(T), MADV_HUGEPAGE);  // only advice: it may be refused
    data_ = static_cast<T*>(data);
  }
  ~LargeArray() {
    if (data_ != nullptr) munmap(data_, size_ * sizeof(T));
  }
  LargeArray(LargeArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  LargeArray& operator=(LargeArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  LargeArray(const LargeArray&) = delete;
  LargeArray& operator=(const LargeArray&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

inline LargeArray<float> copy_of(MatrixView matrix) {
  LargeArray<float> copy(matrix.rows * matrix.cols);
  std::copy_n(matrix.data, copy.size(), copy.data());
  return copy;
}

}  // namespace vitrine::index
