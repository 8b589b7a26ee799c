// A writer process is killed with SIGKILL at moments it did not choose; whatever it had
// acknowledged over a pipe must be there when the database is opened again.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "storage/database.h"
#include "storage/generation_store.h"
#include "storage/product_ids.h"
#include "tests/storage/crash_data.h"

namespace vitrine::storage {
namespace {

/// Everything the writer said before it died.
Acknowledgement run_and_kill(const std::filesystem::path& data, std::uint64_t first_step,
                             int messages_before_the_kill) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addclose(&actions, ends[0]);
  ::posix_spawn_file_actions_addclose(&actions, ends[1]);
  std::string program = VITRINE_CRASH_WRITER;
  std::string folder = data.string();
  std::string step = std::to_string(first_step);
  char* arguments[] = {program.data(), folder.data(), step.data(), nullptr};
  pid_t writer = 0;
  EXPECT_EQ(::posix_spawn(&writer, program.c_str(), &actions, nullptr, arguments, environ), 0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  Acknowledgement last;
  if (::testing::Test::HasFailure()) {
    ::close(ends[0]);
    return last;
  }
  for (int i = 0; i < messages_before_the_kill; ++i) {
    EXPECT_EQ(::read(ends[0], &last, sizeof(last)), static_cast<ssize_t>(sizeof(last)));
  }
  ::kill(writer, SIGKILL);
  // What it acknowledged between our last read and its death still lies in the pipe.
  while (::read(ends[0], &last, sizeof(last)) == static_cast<ssize_t>(sizeof(last))) {
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(writer, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "exit status " << status;
  return last;
}

TEST(Crash, LosesNothingAcknowledgedAndLeavesAWholeGenerationCurrent) {
  const TemporaryDirectory folder;
  std::mt19937 random(7);
  std::uint64_t steps = 0;
  for (int round = 0; round < 10; ++round) {
    const int messages = std::uniform_int_distribution<int>(1, 25)(random);
    const Acknowledgement last = run_and_kill(folder.path(), steps, messages);
    if (HasFailure()) return;
    steps = last.steps;

    Database database(folder.path() / "meta");
    GenerationStore store(folder.path());
    for (std::uint64_t step = 0; step < steps; ++step) {
      const auto found =
          database.get_embeddings("f", EmbeddingKind::kImage, digests_of(step), kDimension);
      const Matrix expected = embeddings_of(step);
      for (std::size_t i = 0; i < kBatch; ++i) {
        ASSERT_TRUE(found[i]) << "round " << round << ", step " << step;
        const auto row = expected.row(i);
        ASSERT_TRUE(std::equal(row.begin(), row.end(), found[i]->begin(), found[i]->end()));
      }
    }
    sweep_generations(database, store);
    const auto pointer = database.get_pointer("shop");
    ASSERT_GE(pointer.value_or(CatalogPointer{}).generation, last.generation);
    if (!pointer) continue;
    std::vector<std::uint64_t> kept = pointer->previous;
    kept.push_back(pointer->generation);
    EXPECT_EQ(store.generations("shop"), kept);
    for (const std::uint64_t generation : kept) {
      const Manifest manifest = store.open("shop", generation);
      EXPECT_EQ(read_file(store.folder("shop", generation) / kImageIndexFile, 1 << 20),
                index_of(generation));
      const ProductIds rows(store.folder("shop", generation), manifest.product_count);
      std::vector<std::string> ids;
      for (std::size_t row = 0; row < rows.size(); ++row) ids.emplace_back(rows.at(row));
      for (const auto& product : database.get_products("shop", generation, ids)) {
        EXPECT_TRUE(product);
      }
    }
    EXPECT_EQ(database.list_product_generations().size(), kept.size());
  }
  EXPECT_GT(steps, 0u);
}

}  // namespace
}  // namespace vitrine::storage
