#include "tests/failing_allocation.h"

#include <atomic>
#include <cerrno>
#include <new>

namespace vitrine {
namespace {

thread_local bool is_of_interest = false;
std::atomic<bool> all_threads{false};
std::atomic<long> left{0};  // 0: none will fail
std::atomic<std::size_t> least{0};

bool this_one_fails(std::size_t size) {
  return left > 0 && size >= least && (all_threads || is_of_interest) && --left == 0;
}

}  // namespace

FailingAllocation::FailingAllocation(Of whose, long number, std::size_t at_least) {
  all_threads = whose == Of::kAllThreads;
  is_of_interest = true;
  least = at_least;
  left = number;
}

FailingAllocation::~FailingAllocation() {
  left = 0;
  is_of_interest = false;
}

}  // namespace vitrine

// Whatever is linked statically calls these instead: the linker's --wrap names them.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {
int __real_posix_memalign(void** memory, std::size_t alignment, std::size_t size);
int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  return vitrine::this_one_fails(size) ? ENOMEM : __real_posix_memalign(memory, alignment, size);
}
void* __real__Znwm(std::size_t size);
void* __wrap__Znwm(std::size_t size) {  // operator new
  if (vitrine::this_one_fails(size)) throw std::bad_alloc();
  return __real__Znwm(size);
}
}
// NOLINTEND(readability-identifier-naming)
