#include "engine/bounded_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

namespace vitrine::engine {
namespace {

TEST(BoundedQueue, DeliversEveryItemOnceThroughAFullQueue) {
  BoundedQueue<int> queue(2);
  constexpr int kItems = 1000;
  std::vector<std::atomic<int>> seen(kItems);
  std::vector<std::thread> readers;
  readers.reserve(3);
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (const auto item = queue.pop()) ++seen[static_cast<std::size_t>(*item)];
    });
  }
  for (int i = 0; i < kItems; ++i) EXPECT_TRUE(queue.push(i));
  queue.close();
  for (std::thread& reader : readers) reader.join();
  for (const auto& count : seen) EXPECT_EQ(count, 1);
}

TEST(BoundedQueue, DeliversWhatWasQueuedBeforeItWasClosed) {
  BoundedQueue<int> queue(2);
  queue.push(7);
  queue.close();
  EXPECT_EQ(queue.pop(), 7);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(BoundedQueue, AbortWakesWritersAndReaders) {
  BoundedQueue<int> full(1);
  full.push(1);
  BoundedQueue<int> empty(1);
  std::atomic<int> ended{0};
  std::thread writer([&] {
    EXPECT_FALSE(full.push(2));
    ++ended;
  });
  std::thread reader([&] {
    EXPECT_EQ(empty.pop(), std::nullopt);
    ++ended;
  });
  full.abort();
  empty.abort();
  writer.join();
  reader.join();
  EXPECT_EQ(ended, 2);
  EXPECT_EQ(full.pop(), std::nullopt);
  EXPECT_FALSE(empty.push(1));
}

}  // namespace
}  // namespace vitrine::engine
