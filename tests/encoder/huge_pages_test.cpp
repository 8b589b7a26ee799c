#include "encoder/cpu/huge_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "encoder/cpu/aligned_buffer.h"

namespace vitrine::encoder::cpu {
namespace {

struct Piece {
  unsigned char* data;
  std::size_t size;
};

Piece take(HugePages& pages, std::size_t size) {
  return {static_cast<unsigned char*>(pages.take(size)), size};
}

/// Fills each piece with another value; then each must still have its own.
void expect_no_overlap(const std::vector<Piece>& pieces) {
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    std::memset(pieces[i].data, static_cast<int>(i % 251), pieces[i].size);
  }
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto is_own = [i](unsigned char byte) { return byte == i % 251; };
    EXPECT_TRUE(std::all_of(pieces[i].data, pieces[i].data + pieces[i].size, is_own)) << i;
  }
}

TEST(HugePages, GivesEachItsOwnMemoryAtAnAddressForVectors) {
  HugePages pages;
  std::vector<Piece> pieces;
  for (const std::size_t size : {1UL, 64UL, 65UL, 3UL << 20, 40UL << 20, 40UL << 20, 100UL << 20}) {
    pieces.push_back(take(pages, size));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pieces.back().data) % 64, 0U) << size;
  }
  expect_no_overlap(pieces);
}

TEST(HugePages, PutsOneThingBehindTheOther) {
  HugePages pages;
  const Piece first = take(pages, 1000);
  const std::ptrdiff_t distance = take(pages, 1).data - first.data;
  EXPECT_GE(distance, 1000);
  EXPECT_LE(distance, 1024 + 64);  // a sanitizer has a gap
}

TEST(HugePages, ServesManyThreadsAtOnce) {
  constexpr std::size_t kThreads = 4, kPieces = 50;
  HugePages pages;
  std::vector<Piece> pieces(kThreads * kPieces);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < kPieces; ++i) {
        pieces[t * kPieces + i] = take(pages, 1000 * (i + 1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  expect_no_overlap(pieces);
}

TEST(AlignedBuffer, IsZeroWhereverItLies) {
  HugePages pages;
  const AlignedBuffer<float> in_pages(1000, &pages);
  const AlignedBuffer<float> own(1000);
  AlignedBuffer<float> moved(1000, &pages);
  moved = AlignedBuffer<float>(std::size_t{1} << 20);  // as large as two huge pages
  for (const AlignedBuffer<float>* buffer :
       std::initializer_list<const AlignedBuffer<float>*>{&in_pages, &own, &moved}) {
    EXPECT_TRUE(std::all_of(buffer->data(), buffer->data() + buffer->size(),
                            [](float value) { return value == 0.0F; }));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % 64, 0U);
  }
}

}  // namespace
}  // namespace vitrine::encoder::cpu
