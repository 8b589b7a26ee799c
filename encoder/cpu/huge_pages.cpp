#include "encoder/cpu/huge_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace vitrine::encoder::cpu {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
/// Address space. Pages that nobody has written to are not in memory.
constexpr std::size_t kChunk = std::size_t{64} << 20;
constexpr std::size_t kAlignment = 64;

constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

void* HugePages::take(std::size_t bytes) {
  const std::size_t size = round_up(bytes, kAlignment);
  const std::lock_guard lock(mutex_);
  if (size > left_) {
    const std::size_t chunk = std::max(kChunk, round_up(size, kHugePage));
    void* memory = nullptr;
    if (posix_memalign(&memory, kHugePage, chunk) != 0) throw std::bad_alloc();
    chunks_.emplace_back(static_cast<std::byte*>(memory));
    madvise(memory, chunk, MADV_HUGEPAGE);  // only advice: it may be refused
    free_ = chunks_.back().get();
    left_ = chunk;
  }
  std::byte* const taken = free_;
  free_ += size;
  left_ -= size;
  return taken;
}

}  // namespace vitrine::encoder::cpu
