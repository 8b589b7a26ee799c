// A writer process is killed with SIGKILL at moments it did not choose; whatever it had
// acknowledged over a pipe must be there when the database is opened again.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "base/file.h"
#include "storage/database.h"
#include "storage/generation_store.h"
#include "tests/storage/error_code.h"

namespace vitrine::storage {
namespace {

constexpr std::size_t kDimension = 16;
constexpr std::size_t kBatch = 8;
constexpr std::uint64_t kStepsPerGeneration = 5;

struct Acknowledgement {
  std::uint64_t steps = 0;       // batches of embeddings and products that were stored
  std::uint64_t generation = 0;  // the last one published; 0: none
};

std::vector<Sha256Digest> digests_of(std::uint64_t step) {
  std::vector<Sha256Digest> digests;
  for (std::size_t i = 0; i < kBatch; ++i) {
    digests.push_back(sha256(std::to_string(step) + "/" + std::to_string(i)));
  }
  return digests;
}

Matrix embeddings_of(std::uint64_t step) {
  Matrix values(kBatch, kDimension);
  for (std::size_t i = 0; i < kBatch * kDimension; ++i) {
    values.data()[i] = static_cast<float>(step) + static_cast<float>(i) / 1024.0f;
  }
  return values;
}

Product product_of(std::uint64_t step) {
  const std::string number = std::to_string(step);
  return {number, number + ".png", number + " steps"};
}

std::string index_of(std::uint64_t generation) {
  return std::string(20'000, static_cast<char>('a' + generation % 26));
}

/// Indexes without end, as the engine does: cache embeddings, store products, finish a generation,
/// publish it, sweep.
[[noreturn]] void write_forever(const std::filesystem::path& data, std::uint64_t first_step,
                                int pipe) {
  try {
    Database database(data / "meta");
    GenerationStore store(data);
    sweep_generations(database, store);
    CatalogPointer pointer = database.get_pointer("shop").value_or(CatalogPointer{});
    Acknowledgement done{first_step, pointer.generation};
    const auto acknowledge = [&] {
      if (::write(pipe, &done, sizeof(done)) != sizeof(done)) ::_exit(3);
    };
    acknowledge();
    for (;;) {
      const auto [number, folder] = store.begin("shop", pointer.generation);
      std::vector<std::string> ids;
      for (std::uint64_t i = 0; i < kStepsPerGeneration; ++i) {
        const std::uint64_t step = done.steps;
        database.put_embeddings("f", EmbeddingKind::kImage, digests_of(step), embeddings_of(step));
        const Product product = product_of(step);
        database.put_products("shop", number, {&product, 1});
        ids.push_back(product.id);
        ++done.steps;
        acknowledge();
      }
      write_file_atomically(folder / kImageIndexFile, index_of(number));
      write_rows(folder, ids);
      Manifest manifest;
      manifest.catalog = "shop";
      manifest.generation = number;
      manifest.product_count = ids.size();
      store.finish(manifest);
      pointer.previous.assign(pointer.generation > 0 ? 1 : 0, pointer.generation);
      pointer.generation = number;
      database.publish_generation("shop", pointer);
      done.generation = number;
      acknowledge();
      sweep_generations(database, store);
    }
  } catch (...) {
    ::_exit(2);
  }
}

/// Everything the writer said before it died.
Acknowledgement run_and_kill(const std::filesystem::path& data, std::uint64_t first_step,
                             int messages_before_the_kill) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t writer = ::fork();
  if (writer == 0) {
    ::close(ends[0]);
    write_forever(data, first_step, ends[1]);
  }
  ::close(ends[1]);
  Acknowledgement last;
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
    const int messages = std::uniform_int_distribution<int>(1, 40)(random);
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
      const auto ids = read_rows(store.folder("shop", generation), manifest.product_count);
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
