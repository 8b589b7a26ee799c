// Indices that are copied to a device: here a stand-in that computes on the CPU, in another order
// than the product's kernels do, and that can be made to fail.

#include "index/search_device.h"

#include <faiss/IndexIVFFlat.h>
#include <faiss/invlists/InvertedLists.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "index/top_k.h"
#include "index/vector_index.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t kRows = 4000;
constexpr std::size_t kCols = 40;

struct Stored {
  std::int64_t row;
  std::vector<float> vector;
};

/// What a test sees and changes of a device.
struct DeviceState {
  std::atomic<int> searches{0};
  std::atomic<int> copies{0};
  std::atomic<bool> lost{false};
  std::atomic<bool> full{false};
  std::function<void()> foreign_fault;  // throws what is no Error; may be empty
  std::atomic<float> error{0};          // of every score
};

class HostVectors : public DeviceVectors {
 public:
  HostVectors(std::shared_ptr<DeviceState> state, std::vector<std::vector<Stored>> lists)
      : state_(std::move(state)), lists_(std::move(lists)) {
    ++state_->copies;
  }
  ~HostVectors() override { --state_->copies; }

  DeviceCandidates best(MatrixView queries, std::size_t count,
                        std::span<const std::int64_t> lists) const override {
    ++state_->searches;
    if (state_->foreign_fault) state_->foreign_fault();
    if (state_->lost) throw unavailable("it fell off the bus");
    DeviceCandidates found;
    for (std::size_t query = 0; query < queries.rows; ++query) {
      TopK best(count);
      const std::size_t each = lists.size() / queries.rows;
      for (const std::int64_t list :
           lists.empty() ? std::vector<std::int64_t>{0}
                         : std::vector<std::int64_t>(lists.begin() + query * each,
                                                     lists.begin() + (query + 1) * each)) {
        for (const Stored& stored : lists_[static_cast<std::size_t>(list)]) {
          float score = 0;
          for (std::size_t column = queries.cols; column-- > 0;) {
            score += queries.row(query)[column] * stored.vector[column];
          }
          best.offer({score + state_->error, stored.row});
        }
      }
      std::vector<Hit> hits = best.take();
      hits.resize(count, {-1, kNoRow});
      for (const Hit& hit : hits) {
        found.rows.push_back(hit.row);
        found.scores.push_back(hit.score);
      }
    }
    return found;
  }

 private:
  const std::shared_ptr<DeviceState> state_;
  const std::vector<std::vector<Stored>> lists_;
};

class HostDevice : public SearchDevice {
 public:
  explicit HostDevice(std::shared_ptr<DeviceState> state) : state_(std::move(state)) {}

  std::string name() const override { return "host"; }
  std::string description() const override { return "a stand-in"; }
  std::size_t most_candidates() const override { return 256; }
  std::size_t most_lists() const override { return 20; }

  std::unique_ptr<DeviceVectors> copy_flat(const float* vectors, std::size_t rows,
                                           std::size_t dimension) override {
    std::vector<Stored> all;
    for (std::size_t row = 0; row < rows; ++row) {
      all.push_back({static_cast<std::int64_t>(row), copied(vectors, row, dimension)});
    }
    return hold({std::move(all)});
  }

  std::unique_ptr<DeviceVectors> copy_ivf(const faiss::IndexIVFFlat& ivf) override {
    std::vector<std::vector<Stored>> lists(ivf.nlist);
    for (std::size_t list = 0; list < ivf.nlist; ++list) {
      const auto* vectors = reinterpret_cast<const float*>(ivf.invlists->get_codes(list));
      for (std::size_t i = 0; i < ivf.invlists->list_size(list); ++i) {
        lists[list].push_back(
            {ivf.invlists->get_ids(list)[i], copied(vectors, i, static_cast<std::size_t>(ivf.d))});
      }
    }
    return hold(std::move(lists));
  }

 private:
  std::unique_ptr<DeviceVectors> hold(std::vector<std::vector<Stored>> lists) const {
    if (state_->foreign_fault) state_->foreign_fault();
    if (state_->full) throw resource_exhausted("its memory is full");
    return std::make_unique<HostVectors>(state_, std::move(lists));
  }

  static std::vector<float> copied(const float* vectors, std::size_t row, std::size_t dimension) {
    std::vector<float> vector(dimension);
    std::memcpy(vector.data(),
                reinterpret_cast<const char*>(vectors) + row * dimension * sizeof(float),
                dimension * sizeof(float));
    return vector;
  }

  const std::shared_ptr<DeviceState> state_;
};

void expect_equal(const SearchResult& a, const SearchResult& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.scores, b.scores);
}

class IndexOnADevice : public testing::TestWithParam<std::string> {
 protected:
  void save(MatrixView vectors) {
    IndexSpec spec;
    spec.kind = GetParam();
    build_index(vectors, spec)->save(path_);
  }

  std::unique_ptr<VectorIndex> open() {
    return open_index(path_,
                      {std::make_shared<HostDevice>(state_), [this](const std::string& text) {
                         const std::lock_guard lock(mutex_);
                         warnings_.push_back(text);
                       }});
  }

  const TemporaryDirectory folder_;
  const std::filesystem::path path_ = folder_.path() / "index.faiss";
  const Matrix vectors_ = clustered_vectors(kRows, kCols, 1);
  const Matrix queries_ = clustered_vectors(60, kCols, 2);
  const std::shared_ptr<DeviceState> state_ = std::make_shared<DeviceState>();
  std::mutex mutex_;
  std::vector<std::string> warnings_;  // guarded by mutex_
};

TEST_P(IndexOnADevice, AnswersAsTheCpuDoes) {
  save(vectors_);
  const auto on_cpu = open_index(path_);
  const auto on_device = open();
  EXPECT_EQ(on_cpu->device(), "cpu");
  EXPECT_EQ(on_device->device(), "host");
  for (const int k : {1, 10, 100, 150}) {
    const int before = state_->searches;
    expect_equal(on_device->search(queries_, k), on_cpu->search(queries_, k));
    EXPECT_EQ(state_->searches, before + 1) << k;
    expect_equal(on_device->search({queries_.data(), 1, kCols}, k),
                 on_cpu->search({queries_.data(), 1, kCols}, k));
  }
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_P(IndexOnADevice, AnswersOnTheCpuWhatTheDeviceCannot) {
  save(vectors_);
  const auto on_cpu = open_index(path_);
  const auto on_device = open();
  RowSet allowed(kRows);
  for (std::size_t row = 0; row < kRows; row += 3) allowed.insert(row);
  SearchOptions filtered;
  filtered.allowed = &allowed;
  SearchOptions many_lists;
  many_lists.nprobe = 21;
  expect_equal(on_device->search(queries_, 10, filtered), on_cpu->search(queries_, 10, filtered));
  expect_equal(on_device->search(queries_, 3000), on_cpu->search(queries_, 3000));
  EXPECT_EQ(state_->searches, 0);
  expect_equal(on_device->search(queries_, 10, many_lists),
               on_cpu->search(queries_, 10, many_lists));
  EXPECT_EQ(on_device->device(), "host");
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_P(IndexOnADevice, HoldsFiltersThatLetMostRowsThrough) {
  save(vectors_);
  const auto on_cpu = open_index(path_);
  const auto on_device = open();
  RowSet allowed(kRows);
  allowed.invert();
  const SearchResult best = on_cpu->search(queries_, 5);
  for (const std::int64_t row : best.rows) allowed.erase(static_cast<std::size_t>(row));
  for (const std::size_t every : {7, 2}) {
    for (std::size_t row = 0; row < kRows / 2; row += every) allowed.erase(row);
    SearchOptions filtered;
    filtered.allowed = &allowed;
    filtered.nprobe = 5;
    for (const int k : {1, 10, 100}) {
      expect_equal(on_device->search(queries_, k, filtered), on_cpu->search(queries_, k, filtered));
    }
  }
  // But for 100 of fewer than two thirds of the rows: a device proposes too few.
  EXPECT_EQ(state_->searches, GetParam() == "flat" ? 5 : 0);
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_P(IndexOnADevice, AnswersOnTheCpuWhatTheDeviceLeavesOpen) {
  // Of the rows that equal the first query there are more than a device proposes.
  Matrix vectors = vectors_;
  for (std::size_t row = 0; row < kRows; row += 8) {
    std::copy_n(queries_.row(0).data(), kCols, vectors.row(row).data());
  }
  save(vectors);
  const auto on_cpu = open_index(path_);
  const auto on_device = open();
  expect_equal(on_device->search(queries_, 10), on_cpu->search(queries_, 10));
  expect_equal(on_device->search({queries_.data(), 1, kCols}, 10),
               on_cpu->search({queries_.data(), 1, kCols}, 10));
  EXPECT_EQ(state_->searches, 2);
  EXPECT_EQ(on_device->search(queries_, 10).rows[9], 72);
  EXPECT_EQ(on_device->device(), "host");
}

TEST_P(IndexOnADevice, AnswersOnTheCpuOnceTheDeviceFails) {
  save(vectors_);
  const auto on_cpu = open_index(path_);
  const auto on_device = open();
  on_device->search(queries_, 10);
  EXPECT_EQ(state_->copies, 1);
  state_->lost = true;
  const SearchResult expected = on_cpu->search(queries_, 10);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { expect_equal(on_device->search(queries_, 10), expected); });
  }
  threads.clear();
  EXPECT_EQ(on_device->device(), "cpu");
  EXPECT_EQ(state_->copies, 0);
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr(path_.string()), HasSubstr("on the CPU"),
                                           HasSubstr("host failed: it fell off the bus"))));
  state_->lost = false;
  const int before = state_->searches;
  expect_equal(on_device->search(queries_, 10), expected);
  EXPECT_EQ(state_->searches, before);
}

TEST_P(IndexOnADevice, DoesNotBelieveADeviceOfLessThanFloat32) {
  save(vectors_);
  const auto on_device = open();
  state_->error = 1e-3F;
  expect_equal(on_device->search(queries_, 10), open_index(path_)->search(queries_, 10));
  EXPECT_EQ(on_device->device(), "cpu");
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("do not both compute in float32")));
}

TEST_P(IndexOnADevice, StaysOnTheCpuWhereItDoesNotFit) {
  save(vectors_);
  state_->full = true;
  const auto index = open();
  EXPECT_EQ(index->device(), "cpu");
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr(path_.string() + " is searched on the CPU"),
                                           HasSubstr("its memory is full"))));
  expect_equal(index->search(queries_, 10), open_index(path_)->search(queries_, 10));
  EXPECT_EQ(state_->searches, 0);
}

TEST_P(IndexOnADevice, StaysOnTheCpuWhateverADeviceThrows) {
  save(vectors_);
  const SearchResult expected = open_index(path_)->search(queries_, 10);
  const std::pair<std::function<void()>, const char*> faults[] = {
      {[] { throw std::bad_alloc(); }, "no memory to copy it from"},
      {[] { throw std::out_of_range("of its driver"); }, "of its driver"}};
  for (const auto& [fault, why] : faults) {
    state_->foreign_fault = fault;
    const auto index = open();
    EXPECT_EQ(index->device(), "cpu");
    EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr(path_.string() + " is searched on the CPU"),
                                             HasSubstr(why))));
    expect_equal(index->search(queries_, 10), expected);
    warnings_.clear();
  }
}

TEST_P(IndexOnADevice, AnswersOnTheCpuWhateverTheDeviceThrows) {
  save(vectors_);
  const auto index = open();
  state_->foreign_fault = [] { throw std::out_of_range("of its driver"); };
  expect_equal(index->search(queries_, 10), open_index(path_)->search(queries_, 10));
  EXPECT_EQ(index->device(), "cpu");
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("host failed: of its driver")));
}

TEST_P(IndexOnADevice, SaysThatThereIsNoMemoryToSearchWith) {
  save(vectors_);
  const auto index = open();
  state_->foreign_fault = [] { throw std::bad_alloc(); };
  expect_error(ErrorCode::kResourceExhausted, "out of memory",
               [&] { index->search(queries_, 10); });
  state_->foreign_fault = nullptr;
  expect_equal(index->search(queries_, 10), open_index(path_)->search(queries_, 10));
  EXPECT_EQ(index->device(), "host") << "which had no part in it";
}

TEST_P(IndexOnADevice, ChecksQueriesBeforeTheDeviceSeesThem) {
  save(vectors_);
  const auto index = open();
  const Matrix zeros(1, kCols);
  expect_error(ErrorCode::kInvalidArgument, "length 0", [&] { index->search(zeros, 10); });
  EXPECT_EQ(state_->searches, 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, IndexOnADevice, testing::Values("flat", "ivf"),
                         [](const auto& kind) { return kind.param; });

class IndexOfAnotherKind : public IndexOnADevice {};

TEST_P(IndexOfAnotherKind, StaysOnTheCpu) {
  save(vectors_);
  const auto index = open();
  EXPECT_EQ(index->device(), "cpu");
  EXPECT_EQ(state_->copies, 0);
  EXPECT_THAT(warnings_, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, IndexOfAnotherKind, testing::Values("ivf_pq", "hnsw"),
                         [](const auto& kind) { return kind.param; });

TEST(SearchDevice, IsNotLookedForWhereTheCpuIsPreferred) {
  const FoundDevice found = find_search_device(DevicePreference::kCpu);
  EXPECT_EQ(found.device, nullptr);
  EXPECT_EQ(found.why_none, "");
}

TEST(SearchDevice, IsFoundOrMissingForAReason) {
  for (const auto preference : {DevicePreference::kAuto, DevicePreference::kCuda}) {
    const FoundDevice found = find_search_device(preference);
    EXPECT_EQ(found.device == nullptr, !found.why_none.empty());
    if (found.device == nullptr) {
      EXPECT_THAT(found.why_none, found.built_in ? HasSubstr("CUDA device")
                                                 : HasSubstr("built without searches on a GPU"));
    }
  }
}

TEST(DevicePreference, IsReadByName) {
  EXPECT_EQ(parse_device_preference("auto"), DevicePreference::kAuto);
  EXPECT_EQ(parse_device_preference("cpu"), DevicePreference::kCpu);
  EXPECT_EQ(parse_device_preference("cuda"), DevicePreference::kCuda);
  expect_error(ErrorCode::kInvalidArgument, "\"gpu\"; auto, cpu and cuda are valid",
               [] { parse_device_preference("gpu"); });
}

}  // namespace
}  // namespace vitrine::index
