// Searches on the CUDA device itself: only built with the GPU part of FAISS.

#include "index/gpu/cuda_device.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/file.h"
#include "index/vector_index.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

class CudaDeviceTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (found_.device == nullptr) GTEST_SKIP() << found_.why_none;
  }

  const FoundDevice found_ = find_cuda_device();
};

TEST_P(CudaDeviceTest, AnswersAsTheCpuDoesFromManyThreads) {
  constexpr std::size_t kRows = 50'000;
  constexpr std::size_t kCols = 128;
  const Matrix vectors = clustered_vectors(kRows, kCols, 1);
  const Matrix queries = clustered_vectors(700, kCols, 2);
  const TemporaryDirectory folder;
  const std::filesystem::path path = folder.path() / "index.faiss";
  IndexSpec spec;
  spec.kind = GetParam();
  build_index(vectors, spec)->save(path);
  std::vector<std::string> warnings;
  const auto on_cpu = open_index(path);
  const auto on_device = open_index(
      path, {found_.device, [&](const std::string& message) { warnings.push_back(message); }});
  ASSERT_EQ(on_device->device(), "cuda");
  for (const int k : {1, 10, 1000}) {
    const SearchResult expected = on_cpu->search(queries, k);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const SearchResult found = on_device->search(queries, k);
        EXPECT_EQ(found.rows, expected.rows);
        EXPECT_EQ(found.scores, expected.scores);
      });
    }
  }
  EXPECT_EQ(on_device->device(), "cuda");
  EXPECT_EQ(warnings, std::vector<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(Kinds, CudaDeviceTest, testing::Values("flat", "ivf"),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace vitrine::index
