// Speed and recall of the vector indices: clustered unit vectors of 512 columns, one thread.
// VITRINE_BENCH_VECTORS sets their number (20000).

#include <benchmark/benchmark.h>
#include <faiss/IndexFlat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "base/compute_threads.h"
#include "index/kernels/inner_product.h"
#include "index/vector_index.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kDimension = 512;
constexpr std::size_t kQueries = 200;
constexpr int kHits = 10;

std::size_t number_of_vectors() {
  const char* given = std::getenv("VITRINE_BENCH_VECTORS");
  return given == nullptr ? 20000 : std::strtoull(given, nullptr, 10);
}

/// Loose clusters: neighbours lie in several of them, as those of real embeddings do.
Matrix unit_vectors(std::size_t rows, std::uint32_t seed) {
  constexpr std::size_t kClusters = 500;
  std::normal_distribution<float> normal;
  std::mt19937 centre_random(1);
  Matrix centres(kClusters, kDimension);
  for (std::size_t i = 0; i < kClusters * kDimension; ++i) {
    centres.data()[i] = normal(centre_random);
  }
  std::mt19937 random(seed);
  Matrix vectors(rows, kDimension);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto centre = centres.row(random() % kClusters);
    const auto row = vectors.row(i);
    double squares = 0;
    for (std::size_t column = 0; column < kDimension; ++column) {
      row[column] = 0.6F * centre[column] + normal(random);
      squares += static_cast<double>(row[column]) * row[column];
    }
    for (float& value : row) value = static_cast<float>(value / std::sqrt(squares));
  }
  return vectors;
}

const Matrix& vectors() {
  static const Matrix kVectors = unit_vectors(number_of_vectors(), 2);
  return kVectors;
}

const Matrix& queries() {
  static const Matrix kRows = unit_vectors(kQueries, 3);
  return kRows;
}

const VectorIndex& index_of(const std::string& kind) {
  static std::map<std::string, std::unique_ptr<VectorIndex>> built;
  auto& index = built[kind];
  if (index == nullptr) {
    IndexSpec spec;
    spec.kind = kind;
    set_compute_threads_of_this_thread(0);
    index = build_index(vectors(), spec);
    set_compute_threads_of_this_thread(1);
  }
  return *index;
}

double recall_at_10(const VectorIndex& index, const SearchOptions& options) {
  const SearchResult expected = index_of("flat").search(queries(), kHits);
  const SearchResult found = index.search(queries(), kHits, options);
  std::size_t hits = 0;
  for (std::size_t query = 0; query < kQueries; ++query) {
    const auto begin = expected.rows.begin() + static_cast<std::ptrdiff_t>(query * kHits);
    for (std::size_t i = 0; i < kHits; ++i) {
      hits += std::count(begin, begin + kHits, found.rows[query * kHits + i]) > 0 ? 1 : 0;
    }
  }
  return static_cast<double>(hits) / static_cast<double>(kQueries * kHits);
}

void search_one_at_a_time(benchmark::State& state, const std::string& kind,
                          const SearchOptions& options) {
  const VectorIndex& index = index_of(kind);
  state.counters["recall@10"] = recall_at_10(index, options);
  std::size_t query = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        index.search({queries().row(query).data(), 1, kDimension}, kHits, options));
    query = (query + 1) % kQueries;
  }
  state.SetItemsProcessed(state.iterations());
}

void search_flat(benchmark::State& state) { search_one_at_a_time(state, "flat", {}); }

void search_ivf(benchmark::State& state) {
  SearchOptions options;
  options.nprobe = static_cast<int>(state.range(0));
  search_one_at_a_time(state, "ivf", options);
}

void search_hnsw(benchmark::State& state) {
  SearchOptions options;
  options.ef_search = static_cast<int>(state.range(0));
  search_one_at_a_time(state, "hnsw", options);
}

/// What our kernels are measured against.
void search_faiss_flat(benchmark::State& state) {
  faiss::IndexFlatIP index(kDimension);
  index.add(static_cast<std::int64_t>(vectors().rows()), vectors().data());
  float scores[kHits];
  std::int64_t rows[kHits];
  set_compute_threads_of_this_thread(1);
  std::size_t query = 0;
  for (auto _ : state) {
    index.search(1, queries().row(query).data(), kHits, scores, rows);
    query = (query + 1) % kQueries;
  }
  state.SetItemsProcessed(state.iterations());
}

void search_flat_in_batches(benchmark::State& state) {
  const VectorIndex& index = index_of("flat");
  for (auto _ : state) benchmark::DoNotOptimize(index.search(queries(), kHits));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kQueries));
}

void build(benchmark::State& state, const std::string& kind) {
  IndexSpec spec;
  spec.kind = kind;
  set_compute_threads_of_this_thread(0);
  for (auto _ : state) benchmark::DoNotOptimize(build_index(vectors(), spec));
  set_compute_threads_of_this_thread(1);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(vectors().rows()));
}

/// Rows that fit the second-level cache.
void inner_products(benchmark::State& state) {
  const auto instruction_set = static_cast<InstructionSet>(state.range(0));
  const InnerProductKernel& kernel = inner_product_kernel(instruction_set);
  constexpr std::size_t kRows = 256;
  const Matrix rows = unit_vectors(kRows, 4);
  float scores[kRows];
  for (auto _ : state) {
    kernel.contiguous(queries().data(), rows.data(), kRows, kDimension, scores);
    benchmark::DoNotOptimize(scores);
  }
  state.SetLabel(std::string(to_string(instruction_set)));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows));
}

void every_instruction_set(benchmark::internal::Benchmark* benchmark) {
  for (const InstructionSet each : supported_instruction_sets()) {
    benchmark->Arg(static_cast<std::int64_t>(each));
  }
}

BENCHMARK(inner_products)->Apply(every_instruction_set);
BENCHMARK(search_faiss_flat);
BENCHMARK(search_flat);
BENCHMARK(search_flat_in_batches);
BENCHMARK(search_ivf)->ArgName("nprobe")->RangeMultiplier(2)->Range(4, 64);
BENCHMARK(search_hnsw)->ArgName("ef_search")->RangeMultiplier(2)->Range(16, 256);
BENCHMARK_CAPTURE(build, ivf, "ivf")->Unit(benchmark::kSecond)->Iterations(1);
BENCHMARK_CAPTURE(build, hnsw, "hnsw")->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace vitrine::index
