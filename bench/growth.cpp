// How a catalog's costs grow with it:
//   vitrine_growth measure --products N --kind K   a line of CSV: build, open, search, update,
//   merge vitrine_growth plot growth.csv > growth.svg    the lines as plots
// bench/growth_run makes both for 10 thousand, 100 thousand and a million products.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "bench/clustered_vectors.h"
#include "bench/growth_plot.h"
#include "bench/made_up_catalog.h"
#include "engine/engine.h"

namespace vitrine::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::size_t products = 10'000;
  std::size_t dimension = 512;
  std::string kind = "flat";
  std::string folder;
  int searches = 300;
  int updates = 200;
  bool merge = true;
};

constexpr const char* kCatalog = "growth";
const std::string kFingerprint(64, 'f');

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A line of /proc/self/status, such as "RssAnon", in MiB.
double status_mb(const std::string& field) {
  std::ifstream status("/proc/self/status");
  std::string name;
  for (double kilobytes = 0; status >> name; status.ignore(1000, '\n')) {
    if (name == field + ":" && status >> kilobytes) return kilobytes / 1024;
  }
  throw std::runtime_error("/proc/self/status has no " + field);
}

/// The most memory that is the process's own, not a file's, from construction on.
class PeakMemory {
 public:
  PeakMemory() : thread_([this] { watch(); }) {}
  ~PeakMemory() {
    if (thread_.joinable()) stop();
  }
  double stop() {
    stopping_ = true;
    thread_.join();
    return peak_mb_;
  }

 private:
  void watch() {
    while (!stopping_) {
      peak_mb_ = std::max(peak_mb_, status_mb("RssAnon"));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  std::atomic<bool> stopping_{false};
  double peak_mb_ = 0;  // of the thread, until it is joined
  std::thread thread_;
};

/// In ms.
struct Percentiles {
  double p50 = 0;
  double p99 = 0;
};

template <class Work>
Percentiles repeat(int times, const Work& work) {
  std::vector<double> ms;
  for (int i = 0; i < times; ++i) {
    const auto start = Clock::now();
    work();
    ms.push_back(1000 * seconds_since(start));
  }
  std::ranges::sort(ms);
  const auto at = [&](double share) {
    return ms[static_cast<std::size_t>(share * static_cast<double>(ms.size() - 1))];
  };
  return {at(0.5), at(0.99)};
}

struct Built {
  BuildTimes times;
  double peak_mb = 0;
};

/// In a process of its own, whose memory is gone afterwards.
Built build(const Options& options, const std::filesystem::path& data_dir) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) throw std::runtime_error("no pipe");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) {
    int code = 1;
    try {
      index::IndexSpec spec;
      spec.kind = options.kind;
      const BuildTimes times = make_catalog(
          data_dir, kCatalog, clustered_vectors(options.products, 1000, options.dimension), spec,
          kFingerprint);
      code = write(pipe_ends[1], &times, sizeof(times)) == sizeof(times) ? 0 : 1;
    } catch (const std::exception& error) {
      fmt::print(stderr, "growth: {}\n", error.what());
    }
    _exit(code);
  }
  close(pipe_ends[1]);
  Built built;
  const bool whole = read(pipe_ends[0], &built.times, sizeof(built.times)) == sizeof(built.times);
  close(pipe_ends[0]);
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child || status != 0 || !whole) {
    throw std::runtime_error("the catalog could not be built");
  }
  built.peak_mb = static_cast<double>(usage.ru_maxrss) / 1024;
  return built;
}

std::unique_ptr<engine::Engine> open(const Options& options,
                                     const std::filesystem::path& data_dir) {
  engine::EngineOptions engine_options;
  engine_options.data_dir = data_dir;
  return std::make_unique<engine::Engine>(engine_options,
                                          made_up_encoder(options.dimension, kFingerprint));
}

double merge(engine::Engine& engine) {
  const auto start = Clock::now();
  const std::string job = engine.start_merge(kCatalog);
  while (engine.job(job).state == engine::JobState::kRunning) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (engine.job(job).state != engine::JobState::kSucceeded) {
    throw std::runtime_error(engine.job(job).error);
  }
  return seconds_since(start);
}

void measure(const Options& options, const std::filesystem::path& folder) {
  const std::filesystem::path data_dir = folder / "data";
  const Built built = build(options, data_dir);
  double index_bytes = 0;
  for (const char* file : {"index.faiss", "captions.faiss"}) {
    index_bytes += static_cast<double>(
        std::filesystem::file_size(data_dir / "generations" / kCatalog / "1" / file));
  }
  const auto products = static_cast<double>(options.products);

  open(options, data_dir).reset();  // the database writes what its log has
  const double before_mb = status_mb("RssAnon");
  const auto start = Clock::now();
  const std::unique_ptr<engine::Engine> engine = open(options, data_dir);
  const double open_s = seconds_since(start);
  const double own_bytes = (status_mb("RssAnon") - before_mb) * 1024 * 1024;

  std::mt19937 random(7);
  engine::SearchRequest request;
  request.catalog = kCatalog;
  const auto search = [&] {
    request.product_id = made_up_id(random() % options.products);
    engine->search(request);
  };
  repeat(20, search);
  const Percentiles searches = repeat(options.searches, search);
  request.exact = true;
  const Percentiles exact = repeat(options.searches, search);

  const Matrix fresh = clustered_vectors(1000, 77, options.dimension);
  const Percentiles updates = repeat(options.updates, [&] {
    const storage::Product product = made_up_product(random() % options.products);
    engine::ProductUpdate update;
    update.id = product.id;
    update.caption = product.caption;
    const auto vector = fresh.row(random() % fresh.rows());
    update.image_embedding.emplace(vector.begin(), vector.end());
    update.caption_embedding = update.image_embedding;
    engine->upsert_products(kCatalog, {&update, 1});
  });
  double merge_s = 0;
  double merge_peak_mb = 0;
  if (options.merge) {
    PeakMemory peak;
    merge_s = merge(*engine);
    merge_peak_mb = peak.stop();
  }

  fmt::print(
      "{},{},{:.2f},{:.2f},{:.2f},{:.0f},{:.3f},{:.3f},{:.3f},{:.3f},{:.3f},{:.3f},{:.3f},"
      "{:.2f},{:.0f},{:.0f},{:.0f}\n",
      options.kind, options.products, built.times.products_s, built.times.index_s,
      built.times.finish_s, built.peak_mb, open_s, searches.p50, searches.p99, exact.p50, exact.p99,
      updates.p50, updates.p99, merge_s, merge_peak_mb, index_bytes / 2 / products,
      own_bytes / products);
}

}  // namespace
}  // namespace vitrine::bench

int main(int argc, char** argv) {
  using namespace vitrine;
  bench::Options options;
  CLI::App app("How a catalog's costs grow with it");
  app.require_subcommand(1);
  CLI::App& measuring = *app.add_subcommand("measure", "A line of CSV for one catalog");
  measuring.add_option("--products", options.products)->check(CLI::Range(1000, 10'000'000));
  measuring.add_option("--dimension", options.dimension)->check(CLI::Range(1, 4096));
  measuring.add_option("--kind", options.kind, "flat, ivf or hnsw");
  measuring.add_option("--folder", options.folder, "Where the data goes; default: a temporary one");
  measuring.add_option("--searches", options.searches)->check(CLI::Range(1, 1'000'000));
  measuring.add_option("--updates", options.updates)->check(CLI::Range(1, 100'000));
  measuring.add_flag("!--no-merge", options.merge,
                     "Leaves merging out, whose columns are 0: it builds both indices again");
  CLI::App& header = *app.add_subcommand("header", "The first line of the CSV");
  CLI::App& plotting = *app.add_subcommand("plot", "The CSV as SVG");
  std::string csv;
  plotting.add_option("csv", csv)->required()->check(CLI::ExistingFile);
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::warn);
  try {
    if (header) fmt::print("{}\n", bench::kGrowthColumns);
    if (plotting) fmt::print("{}", bench::plot_growth(read_file(csv, 1 << 20)));
    if (measuring) {
      const TemporaryDirectory temporary("vitrine_growth");
      bench::measure(options, options.folder.empty() ? temporary.path()
                                                     : std::filesystem::path(options.folder));
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "growth: {}\n", error.what());
    return 1;
  }
  return 0;
}
