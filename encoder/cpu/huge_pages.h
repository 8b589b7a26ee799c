#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

namespace vitrine::encoder::cpu {

/// Bytes.
inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// Memory for what is used again and again, a model's weights and what a batch is worked in: one
/// thing behind the other in huge pages where the system has them, so that finding pages takes no
/// time and hardly any memory is lost at their ends. It is given back all at once. Safe to call
/// from many threads at once.
class HugePages {
 public:
  HugePages() = default;
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;

  /// So many bytes, of any values, at an address that suits vector registers. They are there as
  /// long as this object. Throws std::bad_alloc.
  void* take(std::size_t bytes);

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  using Chunk = std::unique_ptr<std::byte, Free>;

  std::mutex mutex_;
  std::vector<Chunk> chunks_;
  std::byte* free_ = nullptr;  // in the last chunk, what nobody has taken
  std::size_t left_ = 0;       // bytes of it
  std::size_t taken_ = 0;      // bytes, of all chunks
};

}  // namespace vitrine::encoder::cpu
