// What is left of work for which there was no memory in the middle.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/query_cache.h"
#include "engine/update_queue.h"
#include "live_support.h"
#include "tests/failing_allocation.h"

namespace vitrine::engine {
namespace {

using enum FailingAllocation::Of;

/// Lets one allocation after the other of the work fail until it ends without. Calls after(failed)
/// each time. Returns how often it failed.
template <typename Work, typename After>
int fail_at_each_allocation(std::size_t at_least, const Work& work, const After& after) {
  for (int failures = 0;; ++failures) {
    bool failed = false;
    {
      const FailingAllocation failing(kThisThread, failures + 1, at_least);
      try {
        work();
      } catch (const std::bad_alloc&) {
        failed = true;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
        failed = true;
      }
    }
    after(failed);
    if (!failed) return failures;
  }
}

/// Both embeddings, and no attributes.
ProductUpdate update_of(const std::string& id, std::mt19937& random) {
  ProductUpdate update = precomputed_update(id, 1, random);
  update.attributes.reset();
  return update;
}

bool finds_itself(const Engine& engine, const std::string& id) {
  const auto catalog = engine.catalog("shop");
  SearchRequest request;
  request.catalog = "shop";
  request.limit = 1;
  request.terms.resize(1);
  request.terms[0].vector = catalog->vector(Target::kImage, *catalog->row_of(id));
  return ids_of(engine.search(request)) == std::vector<std::string>{id};
}

TEST(ExhaustedMemory, LeavesNothingOfAnUpdate) {
  // Destructors of JSON objects allocate, and RocksDB's batches grow: where they cannot, the process
  // ends. What is larger than those is blocks of rows, their codes, and the catalog's next version.
  constexpr std::size_t kLarge = 1500;
  const TemporaryDirectory data;
  const TestCatalog file(12);
  auto engine = std::make_unique<TestEngine>(data.path());
  (*engine)->index_catalog(file.request());
  std::mt19937 random(1);
  // All but two rows of a block: the request fills it, and begins another.
  std::vector<ProductUpdate> before;
  for (int i = 0; i < 1022; ++i) before.push_back(update_of("n" + std::to_string(i), random));
  (*engine)->upsert_products("shop", std::span(before).first(500));
  (*engine)->upsert_products("shop", std::span(before).subspan(500));
  const std::vector<ProductUpdate> updates = {update_of("A", random), update_of("p0", random),
                                              update_of("n7", random), update_of("B", random)};
  const std::string caption = (*engine)->catalog("shop")->product("p0")->caption;

  const int failures = fail_at_each_allocation(
      kLarge, [&] { (*engine)->upsert_products("shop", updates); },
      [&](bool failed) {
        const auto catalog = (*engine)->catalog("shop");
        ASSERT_EQ(catalog->product("A").has_value(), !failed);
        ASSERT_EQ(catalog->product("B").has_value(), !failed);
        ASSERT_EQ(catalog->product("p0")->caption, failed ? caption : *updates[1].caption);
        ASSERT_EQ(catalog->delta().rows(), failed ? 1022U : 1026U);
        ASSERT_EQ(catalog->delta().tombstones(), failed ? 0U : 1U);
      });
  EXPECT_GE(failures, 4);

  for (const char* when : {"at once", "after a restart"}) {
    for (const char* id : {"A", "p0", "n7", "B", "n0", "n1021"}) {
      EXPECT_TRUE(finds_itself(*engine->engine, id)) << id << ' ' << when;
    }
    engine.reset();
    engine = std::make_unique<TestEngine>(data.path());
  }
}

TEST(ExhaustedMemory, LeavesAnUpdateQueueToOthers) {
  UpdateQueue queue;
  const auto write = [&] {
    UpdateQueue::Request request({});
    queue.run(request, [](std::span<UpdateQueue::Request* const> requests) {
      for (UpdateQueue::Request* each : requests) each->results.clear();
    });
  };
  EXPECT_GE(fail_at_each_allocation(0, write, [&](bool /*failed*/) { write(); }), 1);
}

TEST(ExhaustedMemory, LeavesNothingOfACachedEmbedding) {
  QueryCache cache(std::size_t{1} << 20);
  const Sha256Digest key = QueryCache::key(QueryCache::Kind::kText, "a dress");
  const int failures = fail_at_each_allocation(
      0, [&] { cache.insert(key, {.embedding = std::vector<float>(8, 1.0F), .length = {}}); },
      [&](bool failed) {
        ASSERT_EQ(cache.stats().entries, failed ? 0U : 1U);
        ASSERT_EQ(cache.find(key).has_value(), !failed);
      });
  EXPECT_GE(failures, 2);
}

}  // namespace
}  // namespace vitrine::engine
