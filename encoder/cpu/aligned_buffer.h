#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include "encoder/cpu/huge_pages.h"

namespace vitrine::encoder::cpu {

/// A fixed number of values, zero at first, at an address that suits vector registers; large ones
/// in huge pages where the system has them.
template <typename Value>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// pages: where they lie, which must be there as long as the buffer; null for memory of its own.
  explicit AlignedBuffer(std::size_t size, HugePages* pages = nullptr) : size_(size) {
    const std::size_t bytes = size * sizeof(Value);
    if (bytes == 0) return;
    void* const memory = pages == nullptr ? allocate(bytes) : pages->take(bytes);
    data_ = {static_cast<Value*>(memory), Free{.owns = pages == nullptr}};
    std::uninitialized_value_construct_n(data_.get(), size);
  }

  std::size_t size() const { return size_; }
  Value* data() { return data_.get(); }
  const Value* data() const { return data_.get(); }

 private:
  static void* allocate(std::size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, bytes >= kHugePage ? kHugePage : 64, bytes) != 0) {
      throw std::bad_alloc();
    }
    // Whole ones only: the rest of a last page would be memory that nobody uses.
    if (bytes >= kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
    return memory;
  }

  struct Free {
    bool owns = true;
    void operator()(Value* data) const {
      if (owns) std::free(data);
    }
  };
  std::unique_ptr<Value, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace vitrine::encoder::cpu
