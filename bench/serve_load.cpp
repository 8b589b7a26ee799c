// Asks a running `vitrine serve` with many clients at once and prints what they got: requests a
// second, how many times those of the first number of clients, and latencies. Each request is a
// short text that was not asked before, so that the server's query cache has no part in it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/http_client.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string host = "127.0.0.1";
  std::string port = "8080";
  std::string catalog;
  std::vector<int> clients{1, 8, 32};
  int words = 4;
  double seconds = 5;
  int rounds = 3;
};

/// Queries as people type them into a shop, none twice, but many begin alike: every word is one of
/// CLIP's tokens, and the tokenizer adds two.
class Queries {
 public:
  /// words: of a query, 1 to kLists; there are as many queries as kChoices to the power of it.
  explicit Queries(int words) : words_(words), next_(std::random_device{}()) {
    for (int i = 0; i < words; ++i) count_ *= kChoices;
  }
  std::uint64_t count() const { return count_; }

  static constexpr std::size_t kLists = 6;
  static constexpr std::size_t kChoices = 20;

  std::string next() {
    static constexpr std::array<std::array<const char*, kChoices>, kLists> kWords = {{
        {"red",    "blue",   "green",     "black",  "white", "pink", "grey",
         "brown",  "yellow", "orange",    "purple", "beige", "navy", "gold",
         "silver", "cream",  "turquoise", "khaki",  "olive", "coral"},
        {"cotton", "wool",  "silk",  "leather", "linen",  "denim",   "velvet",
         "fleece", "satin", "lace",  "suede",   "canvas", "rubber",  "plastic",
         "mesh",   "fur",   "nylon", "jersey",  "bamboo", "cashmere"},
        {"dress", "shirt",  "coat",  "bag",      "boot",  "jacket", "skirt",
         "scarf", "hat",    "belt",  "sweater",  "shoes", "jeans",  "pants",
         "socks", "gloves", "watch", "necklace", "ring",  "purse"},
        {"women",     "men",      "girls",    "boys",    "kids",    "babies", "dancers",
         "runners",   "brides",   "guests",   "mothers", "fathers", "teens",  "ladies",
         "gentlemen", "toddlers", "students", "nurses",  "drivers", "players"},
        {"summer", "winter",  "spring",  "party",  "office",  "sport",   "beach",
         "city",   "home",    "travel",  "autumn", "wedding", "holiday", "festival",
         "school", "evening", "running", "hiking", "work",    "dance"},
        {"striped", "plain", "floral",  "dotted", "short",   "long",   "warm",
         "light",   "wide",  "soft",    "new",    "vintage", "casual", "elegant",
         "slim",    "loose", "classic", "modern", "simple",  "sporty"},
    }};
    // Steps by a number that has no factor in common with the count.
    std::uint64_t number = (next_.fetch_add(1) % count_) * 617'587 % count_;
    std::string text;
    for (int i = 0; i < words_; ++i) {
      text += i == 0 ? "" : " ";
      text += kWords[static_cast<std::size_t>(i)][number % kChoices];
      number /= kChoices;
    }
    return text;
  }

 private:
  const int words_;
  std::uint64_t count_ = 1;
  std::atomic<std::uint64_t> next_;  // another run against the same server begins elsewhere
};

/// One keep-alive connection; the latency of each request in milliseconds.
std::vector<double> ask(const Options& options, Queries& queries, const std::atomic<bool>& stop) {
  vitrine::bench::HttpClient client(options.host, options.port);
  const std::string target =
      options.catalog.empty() ? "/v1/embeddings" : "/v1/catalogs/" + options.catalog + "/search";
  std::vector<double> latencies;
  while (!stop) {
    std::string body =
        options.catalog.empty()
            ? fmt::format(R"({{"input": "{}", "encoding_format": "base64"}})", queries.next())
            : fmt::format(R"({{"text": "{}"}})", queries.next());
    const auto start = Clock::now();
    client.send(boost::beast::http::verb::post, target, std::move(body));
    latencies.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  return latencies;
}

/// Returns requests a second. baseline: those of the first measurement of the round, 0 in that one.
double measure(const Options& options, int clients, Queries& queries, double baseline) {
  std::atomic<bool> stop = false;
  std::vector<std::vector<double>> parts(static_cast<std::size_t>(clients));
  std::vector<std::exception_ptr> failures(parts.size());
  std::vector<std::thread> threads;
  const auto start = Clock::now();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        parts[i] = ask(options, queries, stop);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  std::vector<double> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  if (all.empty()) throw std::runtime_error("no request was answered in time; give more --seconds");
  std::ranges::sort(all);
  const auto percentile = [&](double share) {
    return all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))];
  };
  const double rate = static_cast<double>(all.size()) / seconds;
  fmt::print("| {:7} | {:10.1f} | {:5.2f} | {:8.2f} | {:8.2f} | {:8.2f} |\n", clients, rate,
             baseline > 0 ? rate / baseline : 1.0, percentile(0.5), percentile(0.95),
             percentile(0.99));
  return rate;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Load test of a running vitrine serve: distinct short texts, many clients at once");
  app.add_option("--host", options.host, "Host")->capture_default_str();
  app.add_option("--port", options.port, "Port")->capture_default_str();
  app.add_option("--catalog", options.catalog,
                 "Search this catalogue; without it: embeddings only");
  app.add_option("--clients", options.clients, "Clients at once, one measurement each")
      ->delimiter(',')
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--words", options.words, "Words of a query; its tokens are two more")
      ->check(CLI::Range(3, static_cast<int>(Queries::kLists)))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "Length of a measurement")->capture_default_str();
  app.add_option("--rounds", options.rounds, "Repetitions, interleaved")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    Queries queries(options.words);
    fmt::print("{} tokens a query, {} different ones\n\n", options.words + 2, queries.count());
    fmt::print("| clients | requests/s | times |   p50 ms |   p95 ms |   p99 ms |\n");
    fmt::print("|---|---|---|---|---|---|\n");
    for (int round = 0; round < options.rounds; ++round) {
      double first = 0;
      for (const int clients : options.clients) {
        const double rate = measure(options, clients, queries, first);
        if (first == 0) first = rate;
      }
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "serve_load: {}\n", error.what());
    return 1;
  }
  return 0;
}
