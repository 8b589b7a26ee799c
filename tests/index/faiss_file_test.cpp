#include "index/faiss_file.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexLSH.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/index_io.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/checksum.h"
#include "base/file.h"
#include "index/vector_index.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

constexpr int kCols = 12;
constexpr std::int64_t kRows = 300;

class FaissFile : public testing::Test {
 protected:
  void save(const faiss::Index& index, const CodeTable& codes) const {
    write_index_file([&](const WriteBytes& write) { write(faiss_bytes(index)); },
                     [&](const WriteBytes& write) { codes.write_to(write); }, path_);
  }

  /// Writes the index with a right checksum, and expects open_index to refuse it all the same.
  void expect_unsound(const faiss::Index& index, const std::string& part) const {
    save(index, codes_);
    expect_error(ErrorCode::kCorruption, part, [&] { open_index(path_); });
  }

  std::unique_ptr<faiss::IndexHNSWFlat> hnsw() const {
    auto index = std::make_unique<faiss::IndexHNSWFlat>(kCols, 8, faiss::METRIC_INNER_PRODUCT);
    index->add(kRows, vectors_.data());
    return index;
  }

  std::unique_ptr<faiss::IndexIVFFlat> ivf() const {
    auto* quantizer = new faiss::IndexFlatIP(kCols);
    auto index =
        std::make_unique<faiss::IndexIVFFlat>(quantizer, kCols, 4, faiss::METRIC_INNER_PRODUCT);
    index->own_fields = true;
    index->train(kRows, vectors_.data());
    index->add(kRows, vectors_.data());
    return index;
  }

  const TemporaryDirectory folder_;
  const std::filesystem::path path_ = folder_.path() / "index.faiss";
  const Matrix vectors_ = clustered_vectors(kRows, kCols, 1);
  const CodeTable codes_{one_block(vectors_.data(), kRows, kCols)};
};

TEST_F(FaissFile, IsReadByPlainFaiss) {
  for (const std::string& kind : index_kinds()) {
    IndexSpec spec;
    spec.kind = kind;
    const auto ours = build_index(vectors_, spec);
    ours->save(path_);
    const std::unique_ptr<faiss::Index> plain(faiss::read_index(path_.c_str()));
    ASSERT_EQ(plain->ntotal, kRows);
    ASSERT_EQ(plain->d, kCols);
    std::vector<float> scores(20 * 5);
    std::vector<std::int64_t> rows(20 * 5);
    SearchOptions options;
    if (auto* lists = dynamic_cast<faiss::IndexIVFFlat*>(plain.get())) {
      lists->nprobe = static_cast<std::size_t>(options.nprobe);
    }
    if (auto* refining = dynamic_cast<faiss::IndexRefineFlat*>(plain.get())) {
      auto* turning = dynamic_cast<faiss::IndexPreTransform*>(refining->base_index);
      ASSERT_NE(turning, nullptr);
      auto* lists = dynamic_cast<faiss::IndexIVFPQ*>(turning->index);
      ASSERT_NE(lists, nullptr);
      lists->nprobe = static_cast<std::size_t>(options.nprobe);
    }
    if (auto* graph = dynamic_cast<faiss::IndexHNSWFlat*>(plain.get())) {
      graph->hnsw.efSearch = options.ef_search;
    }
    plain->search(20, vectors_.data(), 5, scores.data(), rows.data());
    EXPECT_EQ(ours->search({vectors_.data(), 20, kCols}, 5, options).rows, rows) << kind;
  }
}

TEST_F(FaissFile, BeginsWithWhatFaissItselfWrites) {
  for (const std::string& kind : index_kinds()) {
    for (const int lists : {4, 100}) {  // of 100, vectors that are all alike fill one
      IndexSpec spec;
      spec.kind = kind;
      spec.nlist = lists;
      Matrix vectors = vectors_;
      if (lists == 100) {
        for (std::size_t row = 1; row < kRows; ++row) {
          std::ranges::copy(vectors.row(0), vectors.row(row).begin());
        }
      }
      build_index(vectors, spec)->save(path_);
      const std::unique_ptr<faiss::Index> plain(faiss::read_index(path_.c_str()));
      const std::string expected = faiss_bytes(*plain);
      EXPECT_TRUE(read_file(path_, 1 << 30).starts_with(expected)) << kind << ' ' << lists;
    }
  }
}

TEST_F(FaissFile, OfSoundIndicesMadeByPlainFaissIsOpened) {
  save(*hnsw(), codes_);
  EXPECT_EQ(open_index(path_)->kind(), "hnsw");
  save(*ivf(), codes_);
  EXPECT_EQ(open_index(path_)->kind(), "ivf");
}

TEST_F(FaissFile, OfFewListsThatAreNotEmptyIsOpened) {
  // FAISS tells their sizes otherwise.
  const Matrix centroids = clustered_vectors(100, kCols, 2);
  faiss::IndexFlatIP quantizer(kCols);
  quantizer.add(100, centroids.data());
  faiss::IndexIVFFlat index(&quantizer, kCols, 100, faiss::METRIC_INNER_PRODUCT);
  const Matrix one = clustered_vectors(1, kCols, 1);
  Matrix vectors(kRows, kCols);
  for (std::size_t row = 0; row < vectors.rows(); ++row) {
    std::copy_n(one.data(), kCols, vectors.row(row).data());
  }
  index.add(kRows, vectors.data());
  save(index, CodeTable(one_block(vectors.data(), kRows, kCols)));
  const auto opened = open_index(path_);
  const SearchResult found = opened->search({one.data(), 1, kCols}, 3);
  EXPECT_EQ(found.rows, (std::vector<std::int64_t>{0, 1, 2}));
  opened->save(folder_.path() / "again.faiss");
  EXPECT_EQ(open_index(folder_.path() / "again.faiss")->search({one.data(), 1, kCols}, 3).rows,
            found.rows);
}

TEST_F(FaissFile, WhoseListsAreOfOtherSizesIsRefused) {
  save(*ivf(), codes_);
  std::string bytes = read_file(path_, 1 << 20);
  const std::size_t sizes = bytes.find("full") + 12;
  for (const std::int64_t size : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{kRows + 1}}) {
    for (std::size_t list = 0; list < 4; ++list) {
      std::string forged = bytes;
      std::memcpy(forged.data() + sizes + 8 * list, &size, sizeof(size));
      // The digest that the altered bytes have.
      const std::string_view digested = std::string_view(forged).substr(0, forged.size() - 32);
      const Sha256Digest digest = digest_of(digested);
      std::memcpy(forged.data() + digested.size(), digest.data(), digest.size());
      AtomicFile file(path_);
      file.write(forged);
      file.commit();
      expect_error(ErrorCode::kCorruption, path_.string(), [&] { open_index(path_); });
    }
  }
}

/// Lets this process take so many more bytes of address space.
void limit_memory(std::size_t more_bytes) {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t most = pages * 4096 + more_bytes;
  const rlimit limit = {most, most};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(2);
}

TEST_F(FaissFile, ThatThereIsNoMemoryForIsNotDamaged) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers end a process that has no memory";
#endif
  // OpenMP's threads do not follow into a process that is only forked.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  constexpr std::size_t kCentroids = 1 << 20;
  faiss::IndexFlatIP quantizer(kCols);
  quantizer.add(kCentroids, std::vector<float>(kCentroids * kCols, 0.1F).data());
  faiss::IndexIVFFlat index(&quantizer, kCols, kCentroids, faiss::METRIC_INNER_PRODUCT);
  index.add_core(kRows, vectors_.data(), nullptr, std::vector<std::int64_t>(kRows, 0).data());
  save(index, codes_);
  const std::size_t centroids = kCentroids * kCols * sizeof(float);
  EXPECT_EXIT(
      {
        limit_memory(std::filesystem::file_size(path_) + centroids / 2);
        try {
          open_index(path_);
        } catch (const Error& error) {
          std::fputs(error.what(), stderr);
          std::_Exit(error.code() == ErrorCode::kResourceExhausted ? 0 : 1);
        }
      },
      testing::ExitedWithCode(0), "out of memory for the index .*index.faiss");
}

TEST_F(FaissFile, WithoutAChecksumIsRefused) {
  faiss::write_index(hnsw().get(), path_.c_str());
  expect_error(ErrorCode::kCorruption, "does not end with an index checksum",
               [&] { open_index(path_); });
}

TEST_F(FaissFile, WithAnotherMetricIsRefused) {
  faiss::IndexFlatL2 index(kCols);
  index.add(kRows, vectors_.data());
  expect_unsound(index, "its metric is not the inner product");
  const auto lists = ivf();
  const std::int32_t unknown = 1 << 30;
  std::memcpy(&lists->metric_type, &unknown, sizeof(unknown));
  expect_unsound(*lists, "its metric is not the inner product");
}

TEST_F(FaissFile, OfAnotherKindIsRefused) {
  faiss::IndexLSH index(kCols, 16);
  index.add(kRows, vectors_.data());
  index.metric_type = faiss::METRIC_INNER_PRODUCT;
  expect_unsound(index, "no known kind");
}

TEST_F(FaissFile, OfAKindWhoseNumbersFaissTrustsIsRefused) {
  faiss::IndexFlatIP quantizer(kCols);
  faiss::IndexIVFPQ index(&quantizer, kCols, 4, 4, 4);
  index.metric_type = faiss::METRIC_INNER_PRODUCT;
  index.train(kRows, vectors_.data());
  index.add(kRows, vectors_.data());
  index.pq.M = 0;  // which FAISS divides by
  expect_unsound(index, "no known kind");
  // Nor as what finds the lists of a known one.
  faiss::IndexIVFFlat lists(&index, kCols, 4, faiss::METRIC_INNER_PRODUCT);
  expect_unsound(lists, "do not fit");
}

TEST_F(FaissFile, WithoutVectorsIsRefused) {
  expect_unsound(faiss::IndexFlatIP(kCols), "has 0 vectors");
}

TEST_F(FaissFile, WhoseVectorsDoNotFitTheirNumberIsRefused) {
  faiss::IndexFlatIP index(kCols);
  index.add(kRows, vectors_.data());
  index.ntotal = kRows + 1;
  // FAISS notices while it reads, in words that depend on its version.
  expect_unsound(index, path_.string());
}

TEST_F(FaissFile, WhoseCodesAreOfOtherVectorsIsRefused) {
  const CodeTable fewer(one_block(vectors_.data(), kRows - 64, kCols));
  const auto graph = hnsw();
  const auto lists = ivf();
  for (const faiss::Index* index : {static_cast<const faiss::Index*>(graph.get()),
                                    static_cast<const faiss::Index*>(lists.get())}) {
    save(*index, fewer);
    expect_error(ErrorCode::kCorruption, "codes do not fit", [&] { open_index(path_); });
  }
}

TEST_F(FaissFile, WhoseGraphLeadsNowhereIsRefused) {
  for (const int link : {-2, static_cast<int>(kRows), 1 << 30}) {
    const auto index = hnsw();
    index->hnsw.neighbors[40] = link;
    expect_unsound(*index, path_.string());
  }
  auto index = hnsw();
  index->hnsw.entry_point = static_cast<int>(kRows);
  expect_unsound(*index, path_.string());
  index = hnsw();
  index->hnsw.max_level += 1;
  expect_unsound(*index, path_.string());
  index = hnsw();
  index->hnsw.offsets[3] += 1;
  expect_unsound(*index, path_.string());
}

TEST_F(FaissFile, WhoseListsNameARowTwiceOrNoneIsRefused) {
  for (const std::int64_t row : {std::int64_t{-1}, kRows}) {
    const auto index = ivf();
    auto* lists = dynamic_cast<faiss::ArrayInvertedLists*>(index->invlists);
    lists->ids[2][0] = row;
    expect_unsound(*index, path_.string());
  }
  const auto index = ivf();
  auto* lists = dynamic_cast<faiss::ArrayInvertedLists*>(index->invlists);
  lists->ids[2][0] = lists->ids[2][1];
  expect_unsound(*index, path_.string());
}

}  // namespace
}  // namespace vitrine::index
