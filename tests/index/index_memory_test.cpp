// What indices say of their memory, next to what the system says.

#include <gtest/gtest.h>
#include <malloc.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <tuple>

#include "base/file.h"
#include "index/vector_index.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

/// Bytes of this process that are in memory and in no file: malloc knows nothing of large arrays.
double heap_in_use() {
  malloc_trim(0);
  std::ifstream maps("/proc/self/smaps_rollup");
  std::string word;
  while (maps >> word && word != "Anonymous:") {
  }
  double kilobytes = 0;
  maps >> kilobytes;
  return kilobytes * 1024;
}

/// Of each kind, with vectors that have leading codes, caps and packed codes, and with others.
class IndexMemoryOf : public testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "sanitizers keep memory of their own";
#endif
  }

  static std::string kind() { return std::get<0>(GetParam()); }
  static Matrix vectors() {
    return std::get<1>(GetParam()) ? narrow_vectors(4096, 64, 1) : clustered_vectors(20'000, 32, 1);
  }

  /// share: of what is taken, how far it may be off.
  template <class Make>
  static void expect_to_be_told(const Make& make, double share) {
    make();  // the first one also makes what stays
    const double before = heap_in_use();
    const std::unique_ptr<VectorIndex> index = make();
    const double taken = heap_in_use() - before;
    constexpr double kRoom = 1 << 16;
    EXPECT_NEAR(static_cast<double>(index->memory().heap), taken, share * taken + kRoom);
  }
};

TEST_P(IndexMemoryOf, WhatWasBuiltIsAllThatItTakes) {
  const Matrix all = vectors();
  // FAISS's lists may have twice the room that they need.
  const double share = kind() == "ivf" ? 0.5 : 0.05;
  expect_to_be_told([&] { return build_index(all, {kind()}); }, share);
}

TEST_P(IndexMemoryOf, WhatWasOpenedIsWhatItTakesBesideItsFile) {
  const TemporaryDirectory folder;
  const std::filesystem::path path = folder.path() / "index";
  build_index(vectors(), {kind()})->save(path);
  expect_to_be_told([&] { return open_index(path); }, 0.05);
}

INSTANTIATE_TEST_SUITE_P(Kinds, IndexMemoryOf,
                         testing::Combine(testing::ValuesIn(index_kinds()), testing::Bool()),
                         [](const auto& test) {
                           return std::get<0>(test.param) +
                                  (std::get<1>(test.param) ? "_narrow" : "_wide");
                         });

}  // namespace
}  // namespace vitrine::index
