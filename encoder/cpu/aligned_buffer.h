#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace vitrine::encoder::cpu {

/// A fixed number of values, zero at first, at an address that suits vector registers; large ones
/// in huge pages where the system has them.
template <typename Value>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t size) : size_(size) {
    constexpr std::size_t kHugePage = std::size_t{2} << 20;
    const std::size_t wanted = size * sizeof(Value);
    const std::size_t alignment = wanted >= kHugePage ? kHugePage : 64;
    const std::size_t bytes = (wanted + alignment - 1) / alignment * alignment;
    if (bytes == 0) return;
    data_.reset(static_cast<Value*>(std::aligned_alloc(alignment, bytes)));
    if (!data_) throw std::bad_alloc();
    if (alignment == kHugePage) madvise(data_.get(), bytes, MADV_HUGEPAGE);
    std::uninitialized_value_construct_n(data_.get(), size);
  }

  std::size_t size() const { return size_; }
  Value* data() { return data_.get(); }
  const Value* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(Value* data) const { std::free(data); }
  };
  std::unique_ptr<Value, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace vitrine::encoder::cpu
