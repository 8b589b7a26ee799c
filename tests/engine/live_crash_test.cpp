#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <sstream>
#include <thread>

#include "live_support.h"

extern char** environ;

namespace vitrine::engine {
namespace {

constexpr int kRounds = 20;
constexpr int kDeleted = -1;

class Child {
 public:
  Child(const std::filesystem::path& data, const std::filesystem::path& log, int version) {
    std::vector<std::string> words = {VITRINE_LIVE_CRASH_CHILD, data, log, std::to_string(version)};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&pid_, arguments[0], nullptr, nullptr, arguments.data(), environ), 0);
  }
  /// Whether it lived until then.
  bool kill() const {
    ::kill(pid_, SIGKILL);
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

 private:
  pid_t pid_ = 0;
};

/// What a log says about a product.
struct Fate {
  std::optional<int> acknowledged;  // the last version that was
  std::optional<int> begun;         // a later one, whose acknowledgement nobody saw
};

std::map<std::string, Fate> read_log(const std::filesystem::path& file, int& acknowledged) {
  std::map<std::string, Fate> fates;
  std::ifstream log(file);
  std::string mark;
  std::string id;
  int version = 0;
  acknowledged = 0;
  while (log >> mark >> id >> version) {
    Fate& fate = fates[id];
    if (mark == "A") {
      fate = {version, std::nullopt};
      ++acknowledged;
    } else {
      fate.begun = version;
    }
  }
  return fates;
}

int version_in(const Catalog& catalog, const std::string& id) {
  const auto product = catalog.product(id);
  return product ? product->attributes.value("v", 0) : kDeleted;
}

TEST(LiveCrash, LosesNoAcknowledgedWriteAndBringsNothingBack) {
  const TemporaryDirectory data;
  const TemporaryDirectory logs;
  constexpr int kIndexed = 24;
  std::map<std::string, int> versions;  // of every product that there ever was
  {
    const TestCatalog file(kIndexed);
    TestEngine engine(data.path());
    engine->index_catalog(file.request());
    for (int i = 0; i < kIndexed; ++i) versions["p" + std::to_string(i)] = 0;
  }
  std::mt19937 random(20240229);
  int total = 0;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const auto log = logs.path() / std::to_string(round);
    const Child child(data.path(), log, 1'000'000 * (round + 1));
    // From the first change on: a random moment is what is tested, there is nothing to wait for.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    std::error_code error;
    while (std::filesystem::file_size(log, error) + 1 < 2 &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    std::this_thread::sleep_for(
        std::chrono::microseconds(std::uniform_int_distribution<int>(0, 400'000)(random)));
    ASSERT_TRUE(child.kill()) << "the child ended by itself";

    int acknowledged = 0;
    const auto fates = read_log(log, acknowledged);
    total += acknowledged;
    const TestEngine engine(data.path());
    EXPECT_EQ(engine->catalogs()[0].problem, "");
    const auto catalog = engine->catalog("shop");
    for (const auto& [id, fate] : fates) {
      const int before = versions.contains(id) ? versions[id] : kDeleted;
      const int certain = fate.acknowledged.value_or(before);
      const int found = version_in(*catalog, id);
      EXPECT_TRUE(found == certain || found == fate.begun)
          << id << " is at " << found << "; acknowledged was " << certain << ", begun "
          << fate.begun.value_or(certain);
      versions[id] = found;
    }
    std::size_t alive = 0;
    for (const auto& [id, version] : versions) {
      EXPECT_EQ(version_in(*catalog, id), version) << id;
      alive += version == kDeleted ? 0 : 1;
    }
    EXPECT_EQ(catalog->size(), alive);
    EXPECT_EQ(engine->search(text_search("red", kMaxLimit)).hits.size(), alive);
    for (const std::size_t row : catalog->live_rows()) {
      const auto product = catalog->products({&row, 1}).front();
      if (const auto digest = storage::parse_upload_name(product.image)) {
        EXPECT_EQ(sha256(catalog->read_image(product)), *digest) << product.id;
      }
    }
  }
  EXPECT_GT(total, kRounds);
  std::printf("%d acknowledged changes in %d rounds\n", total, kRounds);
}

}  // namespace
}  // namespace vitrine::engine
