// Searches a catalog with several clients, in turn without and with a stream of updates, and prints
// what the updates cost the searches and how long an update takes until it is on disk and visible.
// Vectors are made up (clustered, unit length); nothing is encoded.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "engine/engine.h"

namespace {

using namespace vitrine;
using Clock = std::chrono::steady_clock;

struct Options {
  int products = 100'000;
  int dimension = 512;
  std::string kind = "hnsw";
  int clients = 4;
  int writers = 4;
  int rate = 200;
  double seconds = 8;
  int rounds = 3;
  int merge_size = 10'000;
  std::string folder;
};

/// Embeddings come with the products; only the one product that a catalog file needs is encoded.
class FixedEncoder : public encoder::Encoder {
 public:
  explicit FixedEncoder(int dimension) : dimension_(dimension) {}
  int dimension() const override { return dimension_; }
  Matrix encode_images(std::span<const encoder::Image> images) const override {
    return rows(images.size());
  }
  encoder::TokenizedText tokenize(std::string_view) const override { return {}; }
  Matrix encode_tokenized(std::span<const encoder::TokenizedText> texts) const override {
    return rows(texts.size());
  }
  float logit_scale() const override { return 1; }
  const std::string& fingerprint() const override { return fingerprint_; }
  encoder::EncoderInfo info() const override { return {}; }

 private:
  Matrix rows(std::size_t count) const {
    Matrix matrix(count, static_cast<std::size_t>(dimension_));
    for (std::size_t i = 0; i < count; ++i) matrix.row(i)[0] = 1;
    return matrix;
  }
  const int dimension_;
  const std::string fingerprint_ = std::string(64, 'f');
};

/// Unit vectors around a thousand centres.
class Vectors {
 public:
  explicit Vectors(int dimension) : dimension_(static_cast<std::size_t>(dimension)) {
    std::mt19937 random(1);
    centres_.resize(1000);
    for (auto& centre : centres_) centre = gaussian(random);
  }
  std::vector<float> draw(std::mt19937& random) const {
    std::vector<float> vector = gaussian(random);
    const std::vector<float>& centre = centres_[random() % centres_.size()];
    double length = 0;
    for (std::size_t i = 0; i < dimension_; ++i) {
      vector[i] = centre[i] + 0.7F * vector[i];
      length += static_cast<double>(vector[i]) * vector[i];
    }
    for (float& value : vector) value = static_cast<float>(value / std::sqrt(length));
    return vector;
  }

 private:
  std::vector<float> gaussian(std::mt19937& random) const {
    std::normal_distribution<float> normal;
    std::vector<float> vector(dimension_);
    for (float& value : vector) value = normal(random);
    return vector;
  }
  const std::size_t dimension_;
  std::vector<std::vector<float>> centres_;
};

engine::ProductUpdate make_update(const std::string& id, const Vectors& vectors,
                                  std::mt19937& random) {
  engine::ProductUpdate update;
  update.id = id;
  update.caption = "product " + id;
  update.attributes = nlohmann::json{{"price", random() % 100}};
  update.image_embedding = vectors.draw(random);
  update.caption_embedding = update.image_embedding;
  return update;
}

void wait_for(const engine::Engine& engine, const std::string& job) {
  while (engine.job(job).state == engine::JobState::kRunning) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (engine.job(job).state != engine::JobState::kSucceeded) {
    throw std::runtime_error(engine.job(job).error);
  }
}

/// A catalog file of one product, indexed; then all products as updates, merged.
void fill(engine::Engine& engine, const Options& options, const Vectors& vectors,
          const std::filesystem::path& folder) {
  const std::string pixel =  // a 1 x 1 BMP
      std::string(
          "BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\1\0\0\0\1\0\0\0\1\0\x18\0\0\0\0\0\4\0\0", 37) +
      std::string(17, '\0') + std::string("\xff\0\0\0", 4);
  write_file_atomically(folder / "one.bmp", pixel);
  write_file_atomically(folder / "one.json",
                        R"([{"id": "first", "image": "one.bmp", "caption": "a pixel"}])");
  engine::IndexRequest request;
  request.name = "live";
  request.catalog_file = folder / "one.json";
  request.index.kind = options.kind;
  request.strict = true;
  engine.index_catalog(request);
  std::mt19937 random(2);
  constexpr int kBatch = 1000;
  const auto start = Clock::now();
  for (int first = 0; first < options.products; first += kBatch) {
    std::vector<engine::ProductUpdate> updates;
    for (int i = first; i < std::min(first + kBatch, options.products); ++i) {
      updates.push_back(make_update(std::to_string(i), vectors, random));
    }
    engine.upsert_products("live", updates);
  }
  const auto written = Clock::now();
  wait_for(engine, engine.start_merge("live"));
  const auto merged = Clock::now();
  fmt::print(
      "{} products of {} columns written in {:.1f} s (batches of {}), merged into {} in {:.1f} s\n",
      options.products, options.dimension, std::chrono::duration<double>(written - start).count(),
      kBatch, options.kind, std::chrono::duration<double>(merged - written).count());
}

double percentile(std::vector<double>& sorted, double fraction) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(fraction * static_cast<double>(sorted.size())))];
}

struct Latencies {
  std::vector<double> searches;  // ms
  std::vector<double> updates;   // ms
  double p99 = 0;                // of the searches
};

Latencies measure(engine::Engine& engine, const Options& options, const Vectors& vectors,
                  bool with_updates, unsigned seed) {
  Latencies all;
  std::vector<Latencies> own(static_cast<std::size_t>(options.clients + options.writers));
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int client = 0; client < options.clients; ++client) {
    threads.emplace_back([&, client] {
      std::mt19937 random(seed + static_cast<unsigned>(client));
      while (!stop) {
        engine::SearchRequest request;
        request.catalog = "live";
        request.product_id = std::to_string(random() % static_cast<unsigned>(options.products));
        const auto start = Clock::now();
        engine.search(request);
        own[static_cast<std::size_t>(client)].searches.push_back(
            std::chrono::duration<double, std::milli>(Clock::now() - start).count());
      }
    });
  }
  for (int writer = 0; with_updates && writer < options.writers; ++writer) {
    threads.emplace_back([&, writer] {
      std::mt19937 random(seed + 1000 + static_cast<unsigned>(writer));
      const auto interval = std::chrono::duration_cast<Clock::duration>(
          std::chrono::duration<double>(static_cast<double>(options.writers) / options.rate));
      auto next = Clock::now() + interval * writer / options.writers;
      while (!stop) {
        std::this_thread::sleep_until(next);
        // Due when it was due, not when there was time for it.
        const auto due = next;
        next += interval;
        const engine::ProductUpdate update = make_update(
            std::to_string(random() % static_cast<unsigned>(options.products)), vectors, random);
        engine.upsert_products("live", {&update, 1});
        own[static_cast<std::size_t>(options.clients + writer)].updates.push_back(
            std::chrono::duration<double, std::milli>(Clock::now() - due).count());
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const Latencies& part : own) {
    all.searches.insert(all.searches.end(), part.searches.begin(), part.searches.end());
    all.updates.insert(all.updates.end(), part.updates.begin(), part.updates.end());
  }
  std::ranges::sort(all.searches);
  std::ranges::sort(all.updates);
  all.p99 = percentile(all.searches, 0.99);
  const auto served = engine.catalog("live");
  fmt::print(
      "{:8} {:9.0f} {:8.2f} {:8.2f} {:8.2f} {:9.1f} {:8.2f} {:8.2f} {:9} {:6}\n",
      with_updates ? "updates" : "idle", static_cast<double>(all.searches.size()) / options.seconds,
      percentile(all.searches, 0.5), percentile(all.searches, 0.95), all.p99,
      static_cast<double>(all.updates.size()) / options.seconds, percentile(all.updates, 0.5),
      percentile(all.updates, 0.99), served->delta().rows(), served->generation());
  std::fflush(stdout);
  return all;
}

void run(const Options& options) {
  const TemporaryDirectory temporary;
  const std::filesystem::path folder =
      options.folder.empty() ? temporary.path() : std::filesystem::path(options.folder);
  engine::EngineOptions engine_options;
  engine_options.data_dir = folder / "data";
  engine_options.merge_in_background = true;
  engine_options.merge_size = options.merge_size;
  engine_options.max_unmerged = 10'000'000;
  engine::Engine engine(engine_options, std::make_unique<FixedEncoder>(options.dimension));
  const Vectors vectors(options.dimension);
  fill(engine, options, vectors, folder);
  fmt::print("{:8} {:>9} {:>8} {:>8} {:>8} {:>9} {:>8} {:>8} {:>9} {:>6}\n", "", "searches/s",
             "p50 ms", "p95 ms", "p99 ms", "upserts/s", "p50 ms", "p99 ms", "delta", "gen");
  std::vector<double> ratios;
  for (int round = 0; round < options.rounds; ++round) {
    const auto seed = static_cast<unsigned>(10'000 * (round + 1));
    const double idle = measure(engine, options, vectors, false, seed).p99;
    const double loaded = measure(engine, options, vectors, true, seed).p99;
    ratios.push_back(loaded / idle);
  }
  std::ranges::sort(ratios);
  fmt::print("p99 of searches with updates / without: median {:.2f}\n", ratios[ratios.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app("Searches with and without a stream of updates");
  app.add_option("--products", options.products)->check(CLI::Range(1, 10'000'000));
  app.add_option("--dimension", options.dimension)->check(CLI::Range(1, 4096));
  app.add_option("--kind", options.kind);
  app.add_option("--clients", options.clients)->check(CLI::Range(1, 1000));
  app.add_option("--writers", options.writers)->check(CLI::Range(1, 1000));
  app.add_option("--rate", options.rate, "Upserts a second")->check(CLI::Range(1, 100'000));
  app.add_option("--seconds", options.seconds)->check(CLI::Range(0.1, 3600.0));
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 100));
  app.add_option("--merge-size", options.merge_size)->check(CLI::Range(0, 10'000'000));
  app.add_option("--folder", options.folder, "Where the data goes; default: a temporary folder");
  CLI11_PARSE(app, argc, argv);
  run(options);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
