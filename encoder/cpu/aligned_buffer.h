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
    const std::size_t bytes = size * sizeof(Value);
    if (bytes == 0) return;
    void* memory = nullptr;
    if (posix_memalign(&memory, bytes >= kHugePage ? kHugePage : 64, bytes) != 0) {
      throw std::bad_alloc();
    }
    data_.reset(static_cast<Value*>(memory));
    // Whole ones only: the rest of a last page would be memory that nobody uses.
    if (bytes >= kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
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
