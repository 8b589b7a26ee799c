#include "encoder/cpu/huge_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace vitrine::encoder::cpu {
namespace {

/// Pages that nobody has written to are address space only.
constexpr std::size_t kLargestChunk = std::size_t{64} << 20;
constexpr std::size_t kAlignment = 64;

constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// Between two things AddressSanitizer has a gap, and what nobody has taken is poisoned.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kGap = kAlignment;
void forbid(const void* memory, std::size_t bytes) { __asan_poison_memory_region(memory, bytes); }
void allow(const void* memory, std::size_t bytes) { __asan_unpoison_memory_region(memory, bytes); }
#else
constexpr std::size_t kGap = 0;
void forbid(const void* /*memory*/, std::size_t /*bytes*/) {}
void allow(const void* /*memory*/, std::size_t /*bytes*/) {}
#endif

}  // namespace

void* HugePages::take(std::size_t bytes) {
  const std::size_t size = round_up(bytes + kGap, kAlignment);
  const std::lock_guard lock(mutex_);
  if (size > left_) {
    // As much again as there is: few chunks, and no more than about twice what is taken.
    const std::size_t chunk =
        round_up(std::max({size, kHugePage, std::min(taken_, kLargestChunk)}), kHugePage);
    void* memory = nullptr;
    if (posix_memalign(&memory, kHugePage, chunk) != 0) throw std::bad_alloc();
    Chunk owned(static_cast<std::byte*>(memory));
    chunks_.push_back(std::move(owned));
    madvise(memory, chunk, MADV_HUGEPAGE);  // only advice: it may be refused
    forbid(memory, chunk);
    free_ = chunks_.back().get();
    left_ = chunk;
  }
  std::byte* const taken = free_;
  allow(taken, bytes);
  free_ += size;
  left_ -= size;
  taken_ += size;
  return taken;
}

}  // namespace vitrine::encoder::cpu
