// What a stream of updates costs the searches beside it: serves a made-up catalog over HTTP on this
// machine to clients that search without a pause, in phases that take turns in one run:
//   idle     nothing but the searches
//   updates  beside them, upserts of single products with their embeddings, at a steady rate
//   full     the same, with a delta just below the size at which it is merged
//   merging  the same, while the delta is merged into a new generation
// and prints the searches' latencies, their ratio to the idle ones of the same round, and what
// became of the updates.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <filesystem>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/base64.h"
#include "base/error.h"
#include "base/file.h"
#include "bench/clustered_vectors.h"
#include "bench/http_client.h"
#include "bench/made_up_catalog.h"
#include "engine/engine.h"
#include "engine/merge_policy.h"
#include "http/server.h"

namespace vitrine::bench {
namespace {

using Clock = std::chrono::steady_clock;
using boost::beast::http::verb;

struct Options {
  std::size_t products = 100'000;
  std::size_t dimension = 512;
  std::string kind = "hnsw";
  int clients = 4;
  int writers = 4;
  int rate = 200;
  double seconds = 5;
  int rounds = 3;
  int merge_size = 10'000;
  std::string folder;
};

constexpr const char* kCatalog = "live";
/// New vectors that updates draw from.
constexpr std::size_t kFreshVectors = 5000;

enum class Phase : std::size_t { kIdle, kUpdates, kFull, kMerging };
constexpr std::array<const char*, 4> kPhaseNames = {"idle", "updates", "full", "merging"};

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// values: sorted. 0 when there are none.
double percentile(const std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

struct Measured {
  std::vector<double> searches;  // ms, sorted
  std::vector<double> updates;   // ms since they were due, sorted
  double seconds = 0;
};

class LiveBench {
 public:
  LiveBench(const Options& options, const std::filesystem::path& data_dir)
      : options_(options), fresh_(clustered_vectors(kFreshVectors, 77, options.dimension)) {
    index::IndexSpec spec;
    spec.kind = options.kind;
    const std::string fingerprint(64, 'f');
    const BuildTimes times = make_catalog(
        data_dir, kCatalog, clustered_vectors(options.products, 1000, options.dimension), spec,
        fingerprint);
    fmt::print("{} products of {} columns in {}: records {:.1f} s, indices {:.1f} s\n",
               options.products, options.dimension, options.kind, times.products_s, times.index_s);
    engine::EngineOptions engine_options;
    engine_options.data_dir = data_dir;
    engine_options.merge_in_background = true;
    engine_options.merge_size = options.merge_size;
    engine_ = std::make_unique<engine::Engine>(engine_options,
                                               made_up_encoder(options.dimension, fingerprint));
    http::ServerOptions server_options;
    server_options.port = 0;
    server_options.access_log = false;
    server_ = std::make_unique<http::Server>(*engine_, server_options);
    server_thread_ = std::thread([this] { server_->run(); });
  }
  ~LiveBench() {
    server_->stop();
    server_thread_.join();
  }

  void run() {
    fmt::print("{:8} {:>10} {:>8} {:>8} {:>8} {:>9} {:>9} {:>7} {:>7} {:>7} {:>6}\n", "",
               "searches/s", "p50 ms", "p90 ms", "p99 ms", "p99/idle", "upserts/s", "p50 ms",
               "p99 ms", "delta", "merges");
    std::array<std::vector<double>, kPhaseNames.size()> ratios;
    for (int round = 0; round < options_.rounds; ++round) {
      merge_all();
      double idle = 0;
      for (std::size_t phase = 0; phase < kPhaseNames.size(); ++phase) {
        const double p99 = measure(static_cast<Phase>(phase), idle);
        if (phase == 0) idle = p99;
        ratios[phase].push_back(p99 / idle);
      }
    }
    for (std::size_t phase = 1; phase < kPhaseNames.size(); ++phase) {
      std::ranges::sort(ratios[phase]);
      fmt::print("p99 of searches, {} / idle: median {:.2f} ({:.2f} to {:.2f})\n",
                 kPhaseNames[phase], ratios[phase][ratios[phase].size() / 2], ratios[phase].front(),
                 ratios[phase].back());
    }
  }

 private:
  HttpClient connect() const { return {"127.0.0.1", std::to_string(server_->port())}; }

  std::size_t delta_rows() const {
    const auto catalog = engine_->catalog(kCatalog);
    return catalog->delta().rows() + catalog->delta().tombstones();
  }

  std::string random_id(std::mt19937& random) const {
    return made_up_id(random() % options_.products);
  }

  void await_merges() const {
    const auto running = [](const engine::JobStatus& job) {
      return job.state == engine::JobState::kRunning;
    };
    while (std::ranges::any_of(engine_->jobs(), running)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  /// Nothing when one runs: a merge may have become due by itself.
  void start_merge() const {
    try {
      engine_->start_merge(kCatalog);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kFailedPrecondition) throw;
    }
  }

  void merge_all() const {
    await_merges();
    if (delta_rows() == 0) return;
    start_merge();
    await_merges();
  }

  /// Updates until a merge is almost due.
  void fill_delta() {
    std::mt19937 random(5);
    const std::size_t enough =
        engine::rows_worth_a_merge(static_cast<std::size_t>(options_.merge_size),
                                   engine_->catalog(kCatalog)->size()) *
        19 / 20;
    while (delta_rows() < enough) {
      std::vector<engine::ProductUpdate> updates;
      std::vector<std::size_t> rows(100);
      const std::size_t first = random() % (options_.products / rows.size() + 1);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        updates.push_back(update((first + i * (options_.products / rows.size())), random));
      }
      engine_->upsert_products(kCatalog, updates);
    }
  }

  engine::ProductUpdate update(std::size_t row, std::mt19937& random) const {
    const storage::Product product = made_up_product(row);
    engine::ProductUpdate update;
    update.id = product.id;
    update.caption = product.caption;
    update.attributes = product.attributes;
    const auto vector = fresh_.row(random() % kFreshVectors);
    update.image_embedding.emplace(vector.begin(), vector.end());
    update.caption_embedding = update.image_embedding;
    return update;
  }

  std::string update_body(std::mt19937& random) const {
    const storage::Product product = made_up_product(random() % options_.products);
    const auto vector = fresh_.row(random() % kFreshVectors);
    const std::string base64 = encode_base64(
        {reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)});
    return nlohmann::json{{"caption", product.caption},
                          {"attributes", product.attributes},
                          {"image_embedding", base64},
                          {"caption_embedding", base64}}
        .dump();
  }

  void search_until(const std::atomic<bool>& stop, unsigned seed,
                    std::vector<double>& latencies) const {
    HttpClient client = connect();
    std::mt19937 random(seed);
    while (!stop) {
      std::string body = fmt::format(R"({{"product_id": "{}"}})", random_id(random));
      const auto start = Clock::now();
      client.send(verb::post, "/v1/catalogs/live/search", std::move(body));
      latencies.push_back(milliseconds_since(start));
    }
  }

  void update_until(const std::atomic<bool>& stop, unsigned seed, int writer,
                    std::vector<double>& latencies) const {
    HttpClient client = connect();
    std::mt19937 random(seed);
    const auto interval = std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(static_cast<double>(options_.writers) / options_.rate));
    auto due = Clock::now() + interval * writer / options_.writers;
    while (!stop) {
      std::string body = update_body(random);
      std::this_thread::sleep_until(due);
      client.send(verb::put, "/v1/catalogs/live/products/" + random_id(random), std::move(body));
      latencies.push_back(milliseconds_since(due));
      due += interval;
    }
  }

  Measured search_and_update(bool with_updates) {
    const auto clients = static_cast<std::size_t>(options_.clients);
    const auto writers = with_updates ? static_cast<std::size_t>(options_.writers) : 0;
    std::vector<std::vector<double>> parts(clients + writers);
    std::vector<std::exception_ptr> failures(parts.size());
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    const unsigned seed = ++seed_ * 1000;
    const auto start = Clock::now();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      threads.emplace_back([&, i] {
        const auto own_seed = seed + static_cast<unsigned>(i);
        try {
          if (i < clients) {
            search_until(stop, own_seed, parts[i]);
          } else {
            update_until(stop, own_seed, static_cast<int>(i - clients), parts[i]);
          }
        } catch (...) {
          failures[i] = std::current_exception();
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(options_.seconds));
    stop = true;
    for (std::thread& thread : threads) thread.join();
    Measured all;
    all.seconds = milliseconds_since(start) / 1000;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (failures[i]) std::rethrow_exception(failures[i]);
      auto& latencies = i < clients ? all.searches : all.updates;
      latencies.insert(latencies.end(), parts[i].begin(), parts[i].end());
    }
    std::ranges::sort(all.searches);
    std::ranges::sort(all.updates);
    return all;
  }

  /// Prints a line; returns the p99 of searches, in ms. idle: of the idle phase; 0: this is it.
  double measure(Phase phase, double idle) {
    if (phase == Phase::kFull) fill_delta();
    if (phase == Phase::kMerging) start_merge();
    const std::uint64_t generation = engine_->catalog(kCatalog)->generation();
    const std::size_t delta = delta_rows();
    const Measured measured = search_and_update(phase != Phase::kIdle);
    const std::uint64_t merges = engine_->catalog(kCatalog)->generation() - generation;
    const double p99 = percentile(measured.searches, 0.99);
    fmt::print("{:8} {:10.0f} {:8.2f} {:8.2f} {:8.2f} {:9.2f} {:9.1f} {:7.2f} {:7.2f} {:7} {:6}\n",
               kPhaseNames[static_cast<std::size_t>(phase)],
               static_cast<double>(measured.searches.size()) / measured.seconds,
               percentile(measured.searches, 0.5), percentile(measured.searches, 0.9), p99,
               idle > 0 ? p99 / idle : 1.0,
               static_cast<double>(measured.updates.size()) / measured.seconds,
               percentile(measured.updates, 0.5), percentile(measured.updates, 0.99), delta,
               merges);
    std::fflush(stdout);
    return p99;
  }

  const Options options_;
  const Matrix fresh_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<http::Server> server_;
  std::thread server_thread_;
  unsigned seed_ = 0;
};

}  // namespace
}  // namespace vitrine::bench

int main(int argc, char** argv) {
  using namespace vitrine;
  bench::Options options;
  CLI::App app("Searches over HTTP with and without a stream of updates");
  app.add_option("--products", options.products)->check(CLI::Range(1000, 10'000'000));
  app.add_option("--dimension", options.dimension)->check(CLI::Range(1, 4096));
  app.add_option("--kind", options.kind, "flat, ivf or hnsw");
  app.add_option("--clients", options.clients, "Clients that search")->check(CLI::Range(1, 1000));
  app.add_option("--writers", options.writers, "Clients that update")->check(CLI::Range(1, 1000));
  app.add_option("--rate", options.rate, "Upserts a second")->check(CLI::Range(1, 100'000));
  app.add_option("--seconds", options.seconds, "Of a phase")->check(CLI::Range(0.1, 3600.0));
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 100));
  app.add_option("--merge-size", options.merge_size)->check(CLI::Range(100, 200'000));
  app.add_option("--folder", options.folder, "Where the data goes; default: a temporary folder");
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::warn);
  try {
    const TemporaryDirectory temporary("vitrine_live_bench");
    const std::filesystem::path folder =
        options.folder.empty() ? temporary.path() : std::filesystem::path(options.folder);
    bench::LiveBench(options, folder / "data").run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "live_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}
