#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <random>
#include <thread>

#include "support.h"

extern char** environ;

namespace vitrine::engine {
namespace {

constexpr int kProducts = 60;
constexpr int kBatch = 4;  // of options_in()
constexpr int kBatches = kProducts / kBatch;

class Child {
 public:
  Child(const std::filesystem::path& data, const TestCatalog& catalog,
        const std::filesystem::path& log) {
    std::vector<std::string> words = {VITRINE_CRASH_CHILD, data, catalog.file(), catalog.images(),
                                      log};
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&pid_, arguments[0], nullptr, nullptr, arguments.data(), environ), 0);
  }
  void kill() const { ::kill(pid_, SIGKILL); }
  /// The exit status, as waitpid() gives it.
  int wait() const {
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    return status;
  }

 private:
  pid_t pid_ = 0;
};

std::uint64_t size_of(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  return error ? 0 : size;
}

using Clock = std::chrono::steady_clock;

/// Waits until the child has begun `batches` batches (one more: until it is done); returns how long
/// that took.
Clock::duration await_batches(const std::filesystem::path& log, std::uint64_t batches) {
  const auto start = Clock::now();
  while (size_of(log) < batches && Clock::now() - start < std::chrono::seconds(60)) {
    std::this_thread::yield();
  }
  EXPECT_GE(size_of(log), batches);
  return Clock::now() - start;
}

/// All of the catalog's products can be found and read.
void expect_whole(const Engine& engine) {
  const SearchResponse response = engine.search(text_search("red", kMaxLimit));
  const auto catalog = engine.catalog("shop");
  EXPECT_EQ(response.hits.size(), catalog->size());
  for (std::size_t row = 0; row < catalog->size(); ++row) {
    EXPECT_TRUE(catalog->product(catalog->id(row))) << row;
  }
}

TEST(Crash, AtAnyMomentLeavesOneWholeGenerationAndLosesNoFinishedBatch) {
  const TemporaryDirectory data;
  const TemporaryDirectory logs;

  // How long the parts of a run take when nobody disturbs it.
  Clock::duration opening{};
  Clock::duration encoding{};
  Clock::duration finishing{};
  std::string old_hash;
  {
    const TestCatalog catalog(kProducts);
    const auto log = logs.path() / "undisturbed";
    const Child child(data.path(), catalog, log);
    opening = await_batches(log, 1);
    encoding = await_batches(log, kBatches);
    finishing = await_batches(log, kBatches + 1);
    const int status = child.wait();
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    const TestEngine engine(data.path());
    old_hash = engine->catalog("shop")->content_hash();
  }

  std::mt19937 random(20240229);
  for (int round = 1; round <= 10; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const TestCatalog catalog(kProducts, 1000 * round);  // every image is new
    const auto log = logs.path() / std::to_string(round);
    const Child child(data.path(), catalog, log);
    // A random moment of a part is what is tested here: nothing to wait for. Four of each of the
    // two parts in which something is at stake, two of the one before.
    const bool in_opening = round % 5 == 0;
    const bool in_encoding = round % 5 < 3;
    if (!in_opening) await_batches(log, in_encoding ? 1 : kBatches);
    const auto part = in_opening ? opening : in_encoding ? encoding : finishing;
    std::this_thread::sleep_for(part * std::uniform_real_distribution<double>(0, 1)(random));
    child.kill();
    child.wait();

    const std::uint64_t begun = size_of(log);
    // While a batch is being encoded the one before may not be stored yet.
    const std::uint64_t stored = begun > kBatches ? kProducts
                                 : begun < 2      ? 0
                                                  : (begun - 2) * kBatch;
    TestEngine engine(data.path());
    const std::string served_hash = engine->catalog("shop")->content_hash();
    expect_whole(*engine.engine);
    EXPECT_EQ(engine->catalogs()[0].problem, "");

    const IndexReport report = engine->index_catalog(catalog.request());
    EXPECT_EQ(report.indexed, static_cast<std::uint64_t>(kProducts));
    EXPECT_GE(report.cached, stored);
    EXPECT_EQ(report.encoded + report.cached, static_cast<std::uint64_t>(kProducts));
    EXPECT_TRUE(served_hash == old_hash || served_hash == report.content_hash);
    expect_whole(*engine.engine);
    old_hash = report.content_hash;
    std::printf("killed in %s with %llu of %d images cached; %s generation was served\n",
                in_opening    ? "opening"
                : in_encoding ? "encoding"
                              : "finishing",
                static_cast<unsigned long long>(report.cached), kProducts,
                served_hash == report.content_hash ? "the new" : "the old");
  }
}

}  // namespace
}  // namespace vitrine::engine
