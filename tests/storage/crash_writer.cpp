// crash_writer <data folder> <first step>: indexes without end, as the engine does (cache
// embeddings, store products, finish a generation, publish it, sweep), and acknowledges every step
// on standard output. The crash test kills it. A program of its own, because a process with
// RocksDB's threads cannot be forked.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "storage/database.h"
#include "storage/generation_store.h"
#include "storage/product_ids.h"
#include "tests/storage/crash_data.h"

namespace vitrine::storage {
namespace {

[[noreturn]] void write_forever(const std::filesystem::path& data, std::uint64_t first_step,
                                int pipe) {
  Database database(data / "meta");
  GenerationStore store(data);
  sweep_generations(database, store);
  CatalogPointer pointer = database.get_pointer("shop").value_or(CatalogPointer{});
  Acknowledgement done{first_step, pointer.generation};
  const auto acknowledge = [&] {
    if (::write(pipe, &done, sizeof(done)) != sizeof(done)) std::exit(3);
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
}

}  // namespace
}  // namespace vitrine::storage

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    vitrine::storage::write_forever(argv[1], std::stoull(argv[2]), STDOUT_FILENO);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
