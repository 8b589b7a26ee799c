#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <future>

#include "base/error.h"

namespace vitrine {
namespace {

TEST(ThreadPool, RunsEverythingThatWasQueuedBeforeItEnds) {
  std::atomic<int> sum = 0;
  {
    ThreadPool pool(3, 100, 1);
    for (int i = 1; i <= 100; ++i) EXPECT_TRUE(pool.try_submit([&sum, i] { sum += i; }));
  }
  EXPECT_EQ(sum, 5050);
}

TEST(ThreadPool, RefusesWhenItsQueueIsFull) {
  std::promise<void> release;
  std::promise<void> started;
  ThreadPool pool(1, 1, 1);
  EXPECT_TRUE(pool.try_submit([&] {
    started.set_value();
    release.get_future().wait();
  }));
  started.get_future().wait();
  EXPECT_TRUE(pool.try_submit([] {}));
  EXPECT_FALSE(pool.try_submit([] {}));
  release.set_value();
}

TEST(ThreadPool, SaysWhenTheSystemHasNoMoreThreads) {
  pthread_attr_t usual;
  ASSERT_EQ(::pthread_getattr_default_np(&usual), 0);
  pthread_attr_t large = usual;  // a stack for which no address space has room
  ASSERT_EQ(::pthread_attr_setstacksize(&large, std::size_t{1} << 47), 0);
  ASSERT_EQ(::pthread_setattr_default_np(&large), 0);
  ErrorCode code = ErrorCode::kInternal;
  try {
    ThreadPool(2, 1, 1);
  } catch (const Error& error) {
    code = error.code();
  }
  ASSERT_EQ(::pthread_setattr_default_np(&usual), 0);
  EXPECT_EQ(code, ErrorCode::kUnavailable);
}

TEST(ThreadPool, RefusesToHaveNoThreads) { EXPECT_THROW(ThreadPool(0, 1, 1), Error); }

}  // namespace
}  // namespace vitrine
