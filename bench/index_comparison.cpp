// Compares the vector indices with what they replace, each pair in one run:
//   vitrine_index_comparison exact  [vectors]   a query's time against streaming the float32
//   matrix,
//                                               and every answer against a scan of it
//   vitrine_index_comparison hnsw   [vectors]   against hnswlib, at equal recall, one thread
//   vitrine_index_comparison ivf    [vectors]   against FAISS's scanner on equal lists, one thread
//   vitrine_index_comparison pq     [vectors]   ivf_pq against ivf and against FAISS on equal codes
//   vitrine_index_comparison filter [vectors]   ivf and hnsw under filters against comparing all
//                                               allowed rows, one thread
//   vitrine_index_comparison open   [vectors]   opening a saved file
// [vectors] is a number of clustered vectors of 512 columns, or a .npy file, the last tenth of
// which, but for `exact` at most 1000 rows, become queries.

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/index_io.h>
#include <fmt/format.h>
#include <hnswlib/hnswlib.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/compute_threads.h"
#include "base/error.h"
#include "base/file.h"
#include "bench/clustered_vectors.h"
#include "index/kernels/inner_product.h"
#include "index/parallel.h"
#include "index/top_k.h"
#include "index/vector_index.h"

namespace vitrine::index {
namespace {

constexpr int kHits = 10;
constexpr std::size_t kQueries = 1000;
constexpr std::size_t kExactQueries = 10'000;
/// A measurement takes at least so long: small catalogues answer a thousand queries in
/// milliseconds.
constexpr double kLeastSeconds = 0.3;

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Of as many repetitions as fill a moment, after one that does not count: each side of a
/// comparison finds the caches as it leaves them, and threads of the other side that wait for work
/// have gone to sleep. The clock is read for so many of them together that reading it, some 25 ns,
/// counts for nothing.
double median_of_repeated(const std::function<void()>& work) {
  constexpr double kMoment = 3e-3;
  constexpr double kReading = 1e-5;
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  work();
  const int together = std::clamp(static_cast<int>(kReading / seconds_of(work)), 1, 100);
  std::vector<double> seconds;
  for (double total = 0; total < kMoment; total += together * seconds.back()) {
    seconds.push_back(seconds_of([&] {
                        for (int i = 0; i < together; ++i) work();
                      }) /
                      together);
  }
  return median(seconds);
}

struct Data {
  Matrix vectors;
  Matrix queries;
};

Matrix rows_of(const Matrix& all, std::size_t first, std::size_t last) {
  Matrix part(last - first, all.cols());
  std::copy(all.data() + first * all.cols(), all.data() + last * all.cols(), part.data());
  return part;
}

/// float32 in C order, NumPy's format version 1.0.
Matrix read_npy(const std::string& path) {
  const std::string bytes = read_file(path, std::uint64_t{1} << 34);
  const std::size_t header = bytes.find('\n');
  const std::size_t shape = bytes.find("'shape': (");
  unsigned long rows = 0;
  unsigned long cols = 0;
  if (header == std::string::npos || shape == std::string::npos ||
      bytes.find("'<f4'") == std::string::npos ||
      std::sscanf(bytes.c_str() + shape, "'shape': (%lu, %lu)", &rows, &cols) != 2 ||
      bytes.size() - header - 1 != rows * cols * sizeof(float)) {
    throw invalid_argument(path + " is not a .npy file of float32 rows");
  }
  Matrix matrix(rows, cols);
  std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(header) + 1, bytes.end(),
            reinterpret_cast<char*>(matrix.data()));
  return matrix;
}

Data load(const std::string& what, std::size_t most_queries = kQueries) {
  if (!what.ends_with(".npy")) {
    return {bench::clustered_vectors(std::stoull(what), 1000),
            bench::clustered_vectors(most_queries, 1'000'077)};
  }
  const Matrix all = read_npy(what);
  const std::size_t queries = std::min(most_queries, all.rows() / 10);
  return {rows_of(all, 0, all.rows() - queries), rows_of(all, all.rows() - queries, all.rows())};
}

/// Every query compared with every vector in float32: in tiles of few rows, which stay in the
/// first-level cache while many queries pass over them.
SearchResult scan(const Data& data, std::size_t k) {
  constexpr std::size_t kGroup = 128;
  constexpr std::size_t kTile = 8;
  const std::size_t cols = data.vectors.cols();
  const std::size_t queries = data.queries.rows();
  SearchResult result{queries, k, std::vector<std::int64_t>(queries * k, kNoRow),
                      std::vector<float>(queries * k)};
  parallel_for((queries + kGroup - 1) / kGroup, omp_get_max_threads(), [&](std::size_t group) {
    const std::size_t first_query = group * kGroup;
    const std::size_t last_query = std::min(queries, first_query + kGroup);
    std::vector<TopK> best(last_query - first_query, TopK(k));
    for (std::size_t first = 0; first < data.vectors.rows(); first += kTile) {
      const std::size_t count = std::min(kTile, data.vectors.rows() - first);
      for (std::size_t query = first_query; query < last_query; ++query) {
        float scores[kTile];
        inner_product_kernel().contiguous(data.queries.row(query).data(),
                                          data.vectors.row(first).data(), count, cols, scores);
        TopK& own = best[query - first_query];
        for (std::size_t i = 0; i < count; ++i) {
          if (own.full() && scores[i] < own.worst().score) continue;
          own.offer({scores[i], static_cast<std::int64_t>(first + i)});
        }
      }
    }
    for (std::size_t query = first_query; query < last_query; ++query) {
      const std::vector<Hit> hits = best[query - first_query].take();
      for (std::size_t i = 0; i < hits.size(); ++i) {
        result.rows[query * k + i] = hits[i].row;
        result.scores[query * k + i] = hits[i].score;
      }
    }
  });
  return result;
}

double exact_product(const Data& data, std::size_t query, std::int64_t row) {
  const auto a = data.queries.row(query);
  const auto b = data.vectors.row(static_cast<std::size_t>(row));
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// Compares every answer with a float32 scan's, and the scan's order with that in double precision.
void check_answers(const Data& data, const SearchResult& found) {
  const std::size_t queries = data.queries.rows();
  SearchResult scanned;
  // One more than asked for, so that a near-tie for the last place shows.
  const double seconds = seconds_of([&] { scanned = scan(data, kHits + 1); });
  std::size_t same = 0;
  std::size_t near_ties = 0;
  double widest = 0;
  for (std::size_t query = 0; query < queries; ++query) {
    const auto rows = scanned.rows.begin() + static_cast<std::ptrdiff_t>(query * (kHits + 1));
    const auto scores = scanned.scores.begin() + static_cast<std::ptrdiff_t>(query * (kHits + 1));
    const auto at = static_cast<std::ptrdiff_t>(query * kHits);
    same += std::equal(rows, rows + kHits, found.rows.begin() + at) &&
                    std::equal(scores, scores + kHits, found.scores.begin() + at)
                ? 1
                : 0;
    for (std::ptrdiff_t i = 0; i < kHits && rows[i + 1] != kNoRow; ++i) {
      const double ahead =
          exact_product(data, query, rows[i]) - exact_product(data, query, rows[i + 1]);
      if (ahead >= 0) continue;
      ++near_ties;
      widest = std::max(widest, -ahead);
    }
  }
  fmt::print(
      "equal to a float32 scan in rows, order and scores: {} of {} queries (scanned in {:.0f} s)\n",
      same, queries, seconds);
  fmt::print(
      "neighbours that double precision puts the other way round: {} of {}, {:.1e} apart at most\n",
      near_ties, queries * kHits, widest);
}

/// Reads every byte once, on all threads: what a scan of float32 cannot be faster than.
double stream(const Matrix& matrix) {
  double total = 0;
  const std::size_t numbers = matrix.rows() * matrix.cols();
  const auto* words = reinterpret_cast<const std::uint64_t*>(matrix.data());
#pragma omp parallel reduction(+ : total)
  {
    const auto threads = static_cast<std::size_t>(omp_get_num_threads());
    const auto rank = static_cast<std::size_t>(omp_get_thread_num());
    const std::size_t first = numbers / 2 * rank / threads;
    const std::size_t last = numbers / 2 * (rank + 1) / threads;
    std::uint64_t sums[32] = {};
    for (std::size_t i = first; i + 32 <= last; i += 32) {
      for (std::size_t lane = 0; lane < 32; ++lane) sums[lane] ^= words[i + lane];
    }
    for (const std::uint64_t sum : sums) total += static_cast<double>(sum & 1);
  }
  return total;
}

void compare_exact(const Data& data) {
  fmt::print("{} x {}, {} threads\n", data.vectors.rows(), data.vectors.cols(),
             omp_get_max_threads());
  std::unique_ptr<VectorIndex> index;
  fmt::print("build {:.2f} s\n", seconds_of([&] { index = build_index(data.vectors, {}); }));
  const std::size_t cols = data.vectors.cols();
  const std::size_t queries = data.queries.rows();
  double sink = 0;
  std::size_t query = 0;
  const auto stream_all = [&] { sink += stream(data.vectors); };
  SearchResult found;
  const auto search_one = [&] {
    query = query + 1 == queries ? 0 : query + 1;
    const MatrixView one{data.queries.row(query).data(), 1, cols};
    index->search(one, kHits, {}, found);
    sink += found.scores[0];
  };
  std::vector<double> streaming;
  std::vector<double> searching;
  std::vector<double> shares;
  std::vector<double> after_streaming;
  for (std::size_t round = 0; round < 40; ++round) {
    streaming.push_back(median_of_repeated(stream_all));
    searching.push_back(median_of_repeated(search_one));
    shares.push_back(searching.back() / streaming.back());
    stream_all();
    after_streaming.push_back(seconds_of(search_one));
  }
  const double bytes = static_cast<double>(data.vectors.rows() * cols * sizeof(float));
  fmt::print("streaming float32  {:.5f} ms ({:.1f} GB/s)\n", 1e3 * median(streaming),
             bytes / median(streaming) / 1e9);
  std::sort(shares.begin(), shares.end());
  fmt::print(
      "one exact query    {:.5f} ms, {:.3f} of it (quarters of the rounds: {:.3f} to {:.3f})\n",
      1e3 * median(searching), median(searching) / median(streaming), shares[shares.size() / 4],
      shares[shares.size() * 3 / 4]);
  const double least_streaming = *std::min_element(streaming.begin(), streaming.end());
  const double least_searching = *std::min_element(searching.begin(), searching.end());
  fmt::print("  each in its least disturbed round: {:.5f} ms, {:.3f} of {:.5f} ms\n",
             1e3 * least_searching, least_searching / least_streaming, 1e3 * least_streaming);
  fmt::print("  at once after streaming, which leaves the caches full of vectors: {:.5f} ms\n",
             1e3 * median(after_streaming));

  SearchResult batch;
  const double batched = seconds_of([&] { batch = index->search(data.queries, kHits); });
  fmt::print("a batch of {}    {:.2f} ms a query\n", queries, 1e3 * batched / queries);
  check_answers(data, batch);
  if (sink == 0.5) fmt::print("\n");  // keeps the work
}

double recall_of(const std::vector<std::int64_t>& found, const SearchResult& expected) {
  std::size_t hits = 0;
  for (std::size_t query = 0; query < expected.queries; ++query) {
    const auto begin = expected.rows.begin() + static_cast<std::ptrdiff_t>(query * kHits);
    for (std::size_t i = 0; i < kHits; ++i) {
      hits += std::count(begin, begin + kHits, found[query * kHits + i]) > 0 ? 1 : 0;
    }
  }
  return static_cast<double>(hits) / static_cast<double>(expected.rows.size());
}

/// Queries a second and recall at one effort.
struct Point {
  int effort;
  double recall;
  double speed;
};

void print(const char* name, const std::vector<Point>& points) {
  for (const Point& each : points) {
    fmt::print("{:<10} effort {:>4}  recall@10 {:.4f}  {:>7.0f} queries/s\n", name, each.effort,
               each.recall, each.speed);
  }
}

/// Speed at a recall, between the two efforts around it.
double speed_at(const std::vector<Point>& points, double recall) {
  for (std::size_t i = 1; i < points.size(); ++i) {
    const Point& a = points[i - 1];
    const Point& b = points[i];
    if (a.recall < recall && b.recall >= recall) {
      const double share = (recall - a.recall) / (b.recall - a.recall);
      return a.speed + share * (b.speed - a.speed);
    }
  }
  return points.front().recall >= recall ? points.front().speed : 0;
}

Point measure(int effort, const Data& data, const SearchResult& expected,
              const std::function<void(std::size_t, std::int64_t*)>& search_one) {
  std::vector<std::int64_t> rows(data.queries.rows() * kHits, kNoRow);
  double best = 1e9;
  double total = 0;
  for (int round = 0; round < 2 || total < kLeastSeconds; ++round) {
    const double seconds = seconds_of([&] {
      for (std::size_t i = 0; i < data.queries.rows(); ++i) search_one(i, rows.data() + i * kHits);
    });
    best = std::min(best, seconds);
    total += seconds;
  }
  return {effort, recall_of(rows, expected), static_cast<double>(data.queries.rows()) / best};
}

Point measure_ours(const VectorIndex& index, const SearchOptions& options, int effort,
                   const Data& data, const SearchResult& expected) {
  return measure(effort, data, expected, [&](std::size_t query, std::int64_t* rows) {
    const SearchResult result =
        index.search({data.queries.row(query).data(), 1, data.queries.cols()}, kHits, options);
    std::copy(result.rows.begin(), result.rows.end(), rows);
  });
}

void compare_hnsw(const Data& data) {
  constexpr std::size_t kLinks = 16;
  constexpr std::size_t kConstruction = 200;
  const std::size_t cols = data.vectors.cols();
  const int threads = omp_get_max_threads();
  const SearchResult expected = build_index(data.vectors, {})->search(data.queries, kHits);
  fmt::print("{} x {}, M {}, ef_construction {}, built on {} threads, searched on one\n",
             data.vectors.rows(), cols, kLinks, kConstruction, threads);

  IndexSpec spec;
  spec.kind = "hnsw";
  spec.hnsw_m = static_cast<int>(kLinks);
  spec.ef_construction = static_cast<int>(kConstruction);
  std::unique_ptr<VectorIndex> ours;
  const double our_build = seconds_of([&] { ours = build_index(data.vectors, spec); });

  hnswlib::InnerProductSpace space(cols);
  hnswlib::HierarchicalNSW<float> theirs(&space, data.vectors.rows(), kLinks, kConstruction);
  const double their_build = seconds_of([&] {
    theirs.addPoint(data.vectors.row(0).data(), 0);
    parallel_for(data.vectors.rows() - 1, threads,
                 [&](std::size_t i) { theirs.addPoint(data.vectors.row(i + 1).data(), i + 1); });
  });
  fmt::print("build: vitrine {:.1f} s, hnswlib {:.1f} s\n", our_build, their_build);

  set_compute_threads_of_this_thread(1);
  std::vector<Point> our_points;
  std::vector<Point> their_points;
  for (const int effort : {10, 16, 24, 32, 48, 64, 96, 128, 192, 256}) {
    SearchOptions options;
    options.ef_search = effort;
    our_points.push_back(measure_ours(*ours, options, effort, data, expected));
    theirs.setEf(static_cast<std::size_t>(effort));
    their_points.push_back(
        measure(effort, data, expected, [&](std::size_t query, std::int64_t* rows) {
          auto found = theirs.searchKnn(data.queries.row(query).data(), kHits);
          for (; !found.empty(); found.pop()) {
            *rows++ = static_cast<std::int64_t>(found.top().second);
          }
        }));
  }
  print("vitrine", our_points);
  print("hnswlib", their_points);
  const double our_speed = speed_at(our_points, 0.95);
  const double their_speed = speed_at(their_points, 0.95);
  fmt::print("at recall 0.95: vitrine {:.0f}, hnswlib {:.0f} queries/s, {:.2f} times\n", our_speed,
             their_speed, our_speed / their_speed);
}

void compare_ivf(const Data& data) {
  const std::size_t cols = data.vectors.cols();
  const SearchResult expected = build_index(data.vectors, {})->search(data.queries, kHits);
  IndexSpec spec;
  spec.kind = "ivf";
  std::unique_ptr<VectorIndex> ours;
  const double built = seconds_of([&] { ours = build_index(data.vectors, spec); });
  fmt::print("{} x {}, built in {:.1f} s, searched on one thread\n", data.vectors.rows(), cols,
             built);
  const TemporaryDirectory folder;
  ours->save(folder.path() / "index.faiss");
  const std::unique_ptr<faiss::Index> file(
      faiss::read_index((folder.path() / "index.faiss").c_str()));
  auto& theirs = dynamic_cast<faiss::IndexIVFFlat&>(*file);
  set_compute_threads_of_this_thread(1);
  std::vector<Point> our_points;
  std::vector<Point> their_points;
  for (const int effort : {4, 8, 16, 32, 64}) {
    SearchOptions options;
    options.nprobe = effort;
    our_points.push_back(measure_ours(*ours, options, effort, data, expected));
    theirs.nprobe = static_cast<std::size_t>(effort);
    their_points.push_back(
        measure(effort, data, expected, [&](std::size_t query, std::int64_t* rows) {
          float scores[kHits];
          theirs.search(1, data.queries.row(query).data(), kHits, scores, rows);
        }));
  }
  print("vitrine", our_points);
  print("faiss", their_points);
  for (std::size_t i = 0; i < our_points.size(); ++i) {
    fmt::print("nprobe {:>3}: {:.2f} times\n", our_points[i].effort,
               our_points[i].speed / their_points[i].speed);
  }
}

/// So many rows: any, or those nearest to some rows, cluster after cluster.
RowSet some_rows(const Data& data, std::size_t count, bool correlated, std::uint32_t seed) {
  RowSet allowed(data.vectors.rows());
  std::mt19937 random(seed);
  if (!correlated) {
    for (std::size_t left = count; left > 0;) {
      const std::size_t row = random() % data.vectors.rows();
      if (allowed.contains(row)) continue;
      allowed.insert(row);
      --left;
    }
    return allowed;
  }
  constexpr std::size_t kClusters = 200;
  const std::size_t cols = data.vectors.cols();
  Matrix centres(kClusters, cols);
  for (std::size_t i = 0; i < kClusters; ++i) {
    const auto row = data.vectors.row(random() % data.vectors.rows());
    std::copy(row.begin(), row.end(), centres.row(i).begin());
  }
  // A row's cluster is its centre's, and its place in it how near it is.
  std::vector<Hit> order(data.vectors.rows());
  parallel_for(order.size(), omp_get_max_threads(), [&](std::size_t row) {
    float scores[kClusters];
    inner_product_kernel().contiguous(data.vectors.row(row).data(), centres.data(), kClusters, cols,
                                      scores);
    const auto cluster = std::max_element(scores, scores + kClusters) - scores;
    order[row] = {scores[cluster] - 10 * static_cast<float>(cluster),
                  static_cast<std::int64_t>(row)};
  });
  std::sort(order.begin(), order.end(), better);
  for (std::size_t i = 0; i < count; ++i) allowed.insert(static_cast<std::size_t>(order[i].row));
  return allowed;
}

void compare_filtered(const Data& data) {
  set_compute_threads_of_this_thread(0);
  const std::size_t rows = data.vectors.rows();
  for (const std::string kind : {"ivf", "hnsw"}) {
    set_compute_threads_of_this_thread(0);
    IndexSpec spec;
    spec.kind = kind;
    const std::unique_ptr<VectorIndex> index = build_index(data.vectors, spec);
    fmt::print("{} x {}, {}, default options, one thread\n", rows, data.vectors.cols(), kind);
    for (const double share : {0.5, 0.05, 0.005, 0.0005}) {
      for (const bool correlated : {false, true}) {
        const auto count = static_cast<std::size_t>(share * static_cast<double>(rows));
        const RowSet allowed = some_rows(data, std::max<std::size_t>(count, 1), correlated, 5);
        SearchOptions options;
        options.allowed = &allowed;
        SearchOptions exact = options;
        exact.exact = true;
        set_compute_threads_of_this_thread(1);
        std::size_t hits = 0;
        std::size_t wanted = 0;
        std::vector<double> searching;
        std::vector<double> comparing;
        const std::size_t queries = std::min<std::size_t>(200, data.queries.rows());
        for (std::size_t query = 0; query < queries; ++query) {
          const MatrixView one{data.queries.row(query).data(), 1, data.queries.cols()};
          SearchResult found;
          SearchResult expected;
          // Whoever comes second finds the codes in the cache.
          for (const bool turn : {query % 2 == 0, query % 2 != 0}) {
            if (turn) {
              searching.push_back(seconds_of([&] { found = index->search(one, kHits, options); }));
            } else {
              comparing.push_back(seconds_of([&] { expected = index->search(one, kHits, exact); }));
            }
          }
          for (const std::int64_t row : expected.rows) {
            if (row == kNoRow) continue;
            ++wanted;
            hits += std::count(found.rows.begin(), found.rows.end(), row) > 0 ? 1 : 0;
          }
        }
        set_compute_threads_of_this_thread(0);
        fmt::print(
            "{:>6} % allowed, {:<12} recall@10 {:.4f}  {:>8.1f} us, all allowed {:>8.1f} us, "
            "{:.2f} of it\n",
            100 * share, correlated ? "in clusters" : "anywhere",
            static_cast<double>(hits) / static_cast<double>(wanted), 1e6 * median(searching),
            1e6 * median(comparing), median(searching) / median(comparing));
      }
    }
  }
}

/// Bytes of this process that are in memory, those of mapped files included.
std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Saves an index, opens it, and says what it takes; returns the opened one.
std::unique_ptr<VectorIndex> reopened(const VectorIndex& index, const std::filesystem::path& path) {
  index.save(path);
  const std::size_t before = resident_bytes();
  std::unique_ptr<VectorIndex> opened = open_index(path);
  const auto rows = static_cast<double>(index.size());
  fmt::print("{:<7} bytes a vector: {:.0f} in the file, {:.1f} in memory once it is open\n",
             index.kind(), static_cast<double>(std::filesystem::file_size(path)) / rows,
             (static_cast<double>(resident_bytes()) - static_cast<double>(before)) / rows);
  return opened;
}

Point measure_faiss(const faiss::Index& index, int effort, const Data& data,
                    const SearchResult& expected) {
  return measure(effort, data, expected, [&](std::size_t query, std::int64_t* rows) {
    float scores[kHits];
    index.search(1, data.queries.row(query).data(), kHits, scores, rows);
  });
}

void compare_pq(const Data& data) {
  const TemporaryDirectory folder;
  const auto flat = reopened(*build_index(data.vectors, {}), folder.path() / "flat");
  const SearchResult expected = flat->search(data.queries, kHits);
  const auto build = [&](const std::string& kind) {
    IndexSpec spec;
    spec.kind = kind;
    std::unique_ptr<VectorIndex> built;
    const double seconds = seconds_of([&] { built = build_index(data.vectors, spec); });
    fmt::print("{:<7} built in {:.1f} s on {} threads\n", kind, seconds, omp_get_max_threads());
    return reopened(*built, folder.path() / kind);
  };
  const auto pq = build("ivf_pq");
  const auto ivf = build("ivf");

  // On the codes of the file. FAISS's fast scan takes no lists that are found by distance.
  const std::unique_ptr<faiss::Index> file(faiss::read_index((folder.path() / "ivf_pq").c_str()));
  auto& refining = dynamic_cast<faiss::IndexRefineFlat&>(*file);
  auto& turning = dynamic_cast<faiss::IndexPreTransform&>(*refining.base_index);
  auto& plain = dynamic_cast<faiss::IndexIVFPQ&>(*turning.index);

  const int threads = omp_get_max_threads();
  set_compute_threads_of_this_thread(1);
  std::vector<Point> points[3];
  for (const int effort : {4, 8, 16, 32, 64, 128, 256}) {
    SearchOptions options;
    options.nprobe = effort;
    points[0].push_back(measure_ours(*pq, options, effort, data, expected));
    points[1].push_back(measure_ours(*ivf, options, effort, data, expected));
    plain.nprobe = static_cast<std::size_t>(effort);
    points[2].push_back(measure_faiss(refining, effort, data, expected));
  }
  fmt::print("{} x {}, searched on one thread\n", data.vectors.rows(), data.vectors.cols());
  print("ivf_pq", points[0]);
  print("ivf", points[1]);
  print("faiss", points[2]);
  for (const double recall : {0.9, 0.95, 0.98}) {
    fmt::print("at recall {:.2f}: ivf_pq {:.0f}, ivf {:.0f}, faiss {:.0f} queries/s\n", recall,
               speed_at(points[0], recall), speed_at(points[1], recall),
               speed_at(points[2], recall));
  }

  fmt::print("ivf_pq at nprobe 64 by vectors compared for each hit\n");
  std::vector<Point> by_rescore;
  for (const int rescore : {1, 2, 5, 10, 20, 50}) {
    SearchOptions options;
    options.nprobe = 64;
    options.rescore = rescore;
    by_rescore.push_back(measure_ours(*pq, options, rescore, data, expected));
  }
  print("rescore", by_rescore);
  set_compute_threads_of_this_thread(threads);
}

void compare_open(const Data& data) {
  const TemporaryDirectory folder;
  for (const std::string kind : {"flat", "ivf", "ivf_pq", "hnsw"}) {
    if (kind != "flat" && data.vectors.rows() > 300'000) continue;  // minutes to build
    IndexSpec spec;
    spec.kind = kind;
    const auto path = folder.path() / kind;
    build_index(data.vectors, spec)->save(path);
    std::vector<double> times;
    for (int round = 0; round < 5; ++round) {
      times.push_back(seconds_of([&] { open_index(path); }));
    }
    fmt::print("{} x {}, {}: opens in {:.3f} s ({:.2f} GB)\n", data.vectors.rows(),
               data.vectors.cols(), kind, median(times),
               static_cast<double>(std::filesystem::file_size(path)) / 1e9);
  }
}

int run(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const std::string vectors = argc > 2 ? argv[2] : "200000";
  set_compute_threads_of_this_thread(0);
  if (what == "exact") {
    compare_exact(load(vectors, kExactQueries));
  } else if (what == "hnsw") {
    compare_hnsw(load(vectors));
  } else if (what == "ivf") {
    compare_ivf(load(vectors));
  } else if (what == "filter") {
    compare_filtered(load(vectors));
  } else if (what == "pq") {
    compare_pq(load(vectors));
  } else if (what == "open") {
    compare_open(load(vectors));
  } else {
    fmt::print(stderr, "usage: {} exact|hnsw|ivf|pq|filter|open [number of vectors | file.npy]\n",
               argv[0]);
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace vitrine::index

int main(int argc, char** argv) {
  try {
    return vitrine::index::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
