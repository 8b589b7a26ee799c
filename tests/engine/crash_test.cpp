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

class Child {
 public:
  Child(const std::filesystem::path& data, const TestCatalog& catalog,
        const std::filesystem::path& log) {
    std::vector<std::string> words = {VITRINE_CRASH_CHILD, data, catalog.file(), catalog.images(),
                                      log};
    std::vector<char*> arguments;
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

  // How long a run takes when nobody disturbs it.
  const auto start = std::chrono::steady_clock::now();
  std::string old_hash;
  {
    const TestCatalog catalog(kProducts);
    const int status = Child(data.path(), catalog, logs.path() / "undisturbed").wait();
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    const TestEngine engine(data.path());
    old_hash = engine->catalog("shop")->content_hash();
  }
  const auto duration = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);

  std::mt19937 random(20240229);
  for (int round = 1; round <= 10; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const TestCatalog catalog(kProducts, 1000 * round);  // every image is new
    const auto log = logs.path() / std::to_string(round);
    const Child child(data.path(), catalog, log);
    // A random moment is what is tested here: nothing to wait for.
    std::this_thread::sleep_for(std::chrono::microseconds(
        std::uniform_int_distribution<long>(0, duration.count())(random)));
    child.kill();
    child.wait();

    const std::uint64_t begun = size_of(log);
    const std::uint64_t stored = begun > 0 ? (begun - 1) * kBatch : 0;
    TestEngine engine(data.path());
    const std::string served_hash = engine->catalog("shop")->content_hash();
    expect_whole(*engine.engine);
    EXPECT_EQ(engine->catalogs()[0].problem, "");

    const IndexReport report = engine->index_catalog(catalog.request());
    EXPECT_EQ(report.indexed, static_cast<std::uint64_t>(kProducts));
    EXPECT_GE(report.cached, std::min<std::uint64_t>(stored, kProducts));
    EXPECT_EQ(report.encoded + report.cached, static_cast<std::uint64_t>(kProducts));
    EXPECT_TRUE(served_hash == old_hash || served_hash == report.content_hash);
    expect_whole(*engine.engine);
    old_hash = report.content_hash;
    RecordProperty("round_" + std::to_string(round), std::to_string(report.cached));
    std::printf("killed with %llu of %d images cached; %s generation was served\n",
                static_cast<unsigned long long>(report.cached), kProducts,
                served_hash == report.content_hash ? "the new" : "the old");
  }
}

}  // namespace
}  // namespace vitrine::engine
