#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "encoder/image_decoder.h"
#include "encoder/matmul_peak.h"

namespace vitrine::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string images;
  double seconds = 2;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// values is not empty; fraction in [0, 1].
double percentile(std::vector<double> values, double fraction) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(fraction * static_cast<double>(values.size() - 1) + 0.5)];
}

struct Timing {
  std::vector<double> seconds;  // of each pass
  // Medians over the rounds; 0 where passes are compared with nothing.
  double products_s = 0;      // the products of a pass, alone
  double products_share = 0;  // of the products' speed, that of the pass
  double peak_flops = 0;      // of products of cached operands
  double peak_share = 0;      // of the peak, the speed of the pass
};

/// Runs passes in rounds, each between two samples of the peak and followed by the pass's products
/// alone. A shared machine's speed changes from one tenth of a second to the next: shares are of
/// what was measured in the same round, and their median is what a round of even speed shows.
/// images: of a pass; 0 compares with nothing. flops: of a pass.
template <typename Pass>
Timing measure(const encoder::Encoder& encoder, double seconds, std::size_t images, double flops,
               const Pass& pass) {
  constexpr double kPeakMs = 20;
  constexpr double kRoundSeconds = 0.1;
  constexpr std::size_t kRounds = 5;  // at least
  const auto peak = [&] { return encoder::measure_matmul_peak(encoder.info(), kPeakMs); };
  const auto multiply = [&] { return encoder.multiply_as_for_images(static_cast<int>(images)); };
  const auto timed = [](const auto& work) {
    const auto begin = Clock::now();
    work();
    return seconds_since(begin);
  };
  Timing timing;
  std::vector<double> products, products_shares, peaks, peak_shares;
  pass();  // memory is touched and caches are warm
  const bool compare = images > 0 && multiply();
  const auto start = Clock::now();
  for (std::size_t round = 0; round < kRounds || seconds_since(start) < seconds; ++round) {
    const double peak_before = compare ? peak() : 0;
    double passes_s = 0;
    int passes = 0;
    do {
      timing.seconds.push_back(timed(pass));
      passes_s += timing.seconds.back();
      ++passes;
    } while (passes_s < kRoundSeconds);
    if (!compare) continue;
    const double pass_s = passes_s / passes;
    peaks.push_back((peak_before + peak()) / 2);
    peak_shares.push_back(flops / pass_s / peaks.back());
    double all_products_s = 0;
    for (int i = 0; i < passes; ++i) all_products_s += timed(multiply);
    products.push_back(all_products_s / passes);
    products_shares.push_back(products.back() / pass_s);
  }
  if (compare) {
    timing.products_s = percentile(products, 0.5);
    timing.products_share = percentile(products_shares, 0.5);
    timing.peak_flops = percentile(peaks, 0.5);
    timing.peak_share = percentile(peak_shares, 0.5);
  }
  return timing;
}

void print_row(const std::string& what, std::size_t count, const Timing& timing) {
  const double median = percentile(timing.seconds, 0.5);
  std::string of_products = "-";
  std::string of_peak = "-";
  if (timing.peak_flops > 0) {
    of_products = fmt::format("{:.1f}: {:.0f} %", static_cast<double>(count) / timing.products_s,
                              100 * timing.products_share);
    of_peak =
        fmt::format("{:.0f} GFLOP/s: {:.0f} %", timing.peak_flops / 1e9, 100 * timing.peak_share);
  }
  fmt::print("| {} | {:.1f} | {:.2f} | {:.2f} | {:.2f} | {} | {} |\n", what,
             static_cast<double>(count) / median, median * 1e3,
             percentile(timing.seconds, 0.95) * 1e3, percentile(timing.seconds, 0.99) * 1e3,
             of_products, of_peak);
}

/// Files of the folder, by name; those that cannot be decoded are left out.
struct Photographs {
  std::vector<std::string> files;
  std::vector<encoder::Image> prepared;
  double read_s = 0;
  double decode_s = 0;
  double prepare_s = 0;
};

Photographs read_photographs(const encoder::Encoder& encoder, const std::string& folder,
                             const engine::EngineOptions& options) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  Photographs photographs;
  for (const std::filesystem::path& path : paths) {
    try {
      auto start = Clock::now();
      const std::string bytes = read_file(path, options.image_limits.max_bytes);
      const double read_s = seconds_since(start);
      start = Clock::now();
      const encoder::Image image =
          encoder::decode_image(bytes, options.image_limits, options.encoder.image);
      const double decode_s = seconds_since(start);
      start = Clock::now();
      photographs.prepared.push_back(encoder.prepare(image));
      photographs.prepare_s += seconds_since(start);
      photographs.read_s += read_s;
      photographs.decode_s += decode_s;
    } catch (const Error&) {
      continue;
    }
  }
  if (photographs.prepared.empty()) throw not_found("no image can be decoded in " + folder);
  return photographs;
}

/// Noise: the arithmetic takes as long for it as for a photograph.
std::vector<encoder::Image> noise(std::size_t count, int size) {
  std::mt19937 random(1);
  std::vector<encoder::Image> images(count);
  for (encoder::Image& image : images) {
    image.width = image.height = size;
    image.rgb.resize(static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * 3);
    for (std::uint8_t& byte : image.rgb) byte = static_cast<std::uint8_t>(random());
  }
  return images;
}

/// Queries of eight words, each of which is one token where the vocabulary has enough of them.
/// Hardly any begins like another: neither what the texts of a batch have in common nor what the
/// encoder remembers of texts before makes them cheaper.
class Queries {
 public:
  explicit Queries(const encoder::Encoder& encoder) {
    std::vector<std::string> all;
    for (char a = 'a'; a <= 'z'; ++a) {
      for (char b = 'a'; b <= 'z'; ++b) {
        for (char c = 'a'; c <= 'z'; ++c) all.push_back({a, b, c});
      }
    }
    constexpr std::size_t kTokens = 3;  // start, word, end
    std::ranges::copy_if(all, std::back_inserter(words_), [&](const std::string& word) {
      return encoder.tokenize(word).ids.size() == kTokens;
    });
    constexpr std::size_t kEnough = 256;
    if (words_.size() < kEnough) words_ = std::move(all);
  }

  std::vector<std::string> next(std::size_t count) {
    std::vector<std::string> texts(count);
    for (std::string& text : texts) {
      for (int i = 0; i < 8; ++i) {
        if (i > 0) text += ' ';
        text += words_[random_() % words_.size()];
      }
    }
    return texts;
  }

 private:
  std::vector<std::string> words_;
  std::mt19937 random_{2};
};

int run(const Settings& settings, const Options& bench) {
  const config::Config config = settings.load();
  set_up_quiet_log(config.log);
  const engine::EngineOptions options = engine_options(config);
  const auto loading = Clock::now();
  const std::unique_ptr<encoder::Encoder> encoder = encoder::load_encoder(options.encoder);
  const double load_s = seconds_since(loading);
  const encoder::EncoderInfo info = encoder->info();
  fmt::print("{}: {}, {} parameters, loaded in {:.2f} s\n", info.model, info.architecture,
             info.parameters, load_s);
  fmt::print("{} on {} ({}), {} threads; {:.2f} GFLOP an image\n\n", info.precision, info.device,
             info.kernels, info.threads, info.image_flops / 1e9);
  fmt::print(
      "| pass | a second | p50 ms | p95 ms | p99 ms | of its products alone | of the peak |\n");
  fmt::print("|---|---|---|---|---|---|---|\n");

  const auto max_batch = static_cast<std::size_t>(options.encoder.max_batch);
  const std::vector<encoder::Image> images = noise(max_batch, info.image_size);
  const std::set<std::size_t> sizes = {1, std::min<std::size_t>(8, max_batch), max_batch};
  for (const std::size_t n : sizes) {
    const std::span<const encoder::Image> batch(images.data(), n);
    print_row(n == 1 ? "1 image" : fmt::format("{} images", n), n,
              measure(*encoder, bench.seconds, n, info.image_flops * static_cast<double>(n),
                      [&] { encoder->encode_prepared(batch); }));
  }
  Queries queries(*encoder);
  const std::size_t tokens = encoder->tokenize(queries.next(1)[0]).ids.size();
  for (const std::size_t n : sizes) {
    print_row(
        fmt::format("{} text{} of {} tokens", n, n == 1 ? "" : "s", tokens), n,
        measure(*encoder, bench.seconds, 0, 0, [&] { encoder->encode_texts(queries.next(n)); }));
  }
  fmt::print(
      "\nIts products alone: the pass's matrix products on the same weights, rows and threads, "
      "every "
      "token\nthrough every layer, with nothing between them; so many a second, and the pass's "
      "share "
      "of that.\nThe peak: a product of cached operands. Shares are medians of rounds, each "
      "compared with\nwhat was measured beside it.\n");

  if (bench.images.empty()) return 0;
  const Photographs photographs = read_photographs(*encoder, bench.images, options);
  const auto count = static_cast<double>(photographs.prepared.size());
  const auto start = Clock::now();
  encoder->encode_prepared(photographs.prepared);
  const double encode_s = seconds_since(start);
  fmt::print("\n{} images of {}, one stage after the other:\n\n", photographs.prepared.size(),
             bench.images);
  fmt::print("| stage | threads | ms an image |\n|---|---|---|\n");
  fmt::print("| read | 1 | {:.3f} |\n", photographs.read_s / count * 1e3);
  fmt::print("| decode | 1 | {:.3f} |\n", photographs.decode_s / count * 1e3);
  fmt::print("| resize and crop | 1 | {:.3f} |\n", photographs.prepare_s / count * 1e3);
  fmt::print("| encode | {} | {:.3f} |\n", info.threads, encode_s / count * 1e3);
  return 0;
}

}  // namespace

std::function<int()> add_bench(CLI::App& subcommand) {
  auto settings = std::make_shared<Settings>(subcommand);
  auto options = std::make_shared<Options>();
  CLI::App* encoder =
      subcommand.add_subcommand("encoder", "Images and texts a second, latencies, stages");
  subcommand.require_subcommand(1);
  encoder->add_option("--images", options->images, "Folder whose images are read and encoded too")
      ->type_name("FOLDER")
      ->check(CLI::ExistingDirectory);
  encoder->add_option("--seconds", options->seconds, "Time for each line")
      ->check(CLI::Range(0.1, 600.0))
      ->capture_default_str();
  encoder->fallthrough();
  subcommand.footer(
      "Example: vitrine bench encoder --model ~/models/clip-vit-base-patch32 --images photos");
  return [settings, options] { return run(*settings, *options); };
}

}  // namespace vitrine::cli
