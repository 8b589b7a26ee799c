#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
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

TEST(ThreadPool, RefusesToHaveNoThreads) { EXPECT_THROW(ThreadPool(0, 1, 1), Error); }

}  // namespace
}  // namespace vitrine
