// Changes, searches, merges and rolls back a catalog from several threads until it is killed.
// Before a product is changed a line "B <id> <version>" is appended to a log, and "A <id>
// <version>" when the change was acknowledged; the version of a deletion is -1. Arguments: data
// folder, log, first version.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "live_support.h"

namespace {

using namespace vitrine::engine;

constexpr int kWriters = 3;

/// One write() a line: whoever is killed leaves whole lines.
void append(int log, const std::string& line) {
  if (::write(log, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
}

void write_products(Engine& engine, int log, int writer, int version) {
  std::mt19937 random(static_cast<unsigned>(version + writer));
  while (true) {
    // Products of the generation and others; no other thread changes them.
    const int number = static_cast<int>(random() % 8) * kWriters + writer;
    const std::string id = (random() % 2 == 0 ? "p" : "new") + std::to_string(number);
    const bool present = engine.catalog("shop")->product(id).has_value();
    const bool erase = present && random() % 3 == 0;
    ++version;
    const std::string change = fmt::format("{} {}\n", id, erase ? -1 : version);
    append(log, "B " + change);
    if (erase) {
      engine.delete_products("shop", {&id, 1});
    } else {
      ProductUpdate update = precomputed_update(id, version, random);
      // Every fourth brings an image, whose bytes must be there when the product is.
      if (random() % 4 == 0) {
        update.image_bytes = colour_png("red", version % 100);
      }
      engine.upsert_products("shop", {&update, 1});
    }
    append(log, "A " + change);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 4) return 2;
  const int log = ::open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (log < 0) return 2;
  const TestEngine engine(argv[1]);
  std::vector<std::thread> threads;
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&engine, log, writer, version = std::atoi(argv[3])] {
      write_products(*engine.engine, log, writer, version);
    });
  }
  // What a thread throws is printed before the process ends.
  threads.emplace_back([&engine] {
    while (true) engine->search(text_search("red", 20));
  });
  threads.emplace_back([&engine] {
    for (int turn = 0; true; ++turn) {
      const JobStatus job = await_job(*engine.engine, engine->start_merge("shop"));
      if (job.state != JobState::kSucceeded) throw vitrine::internal_error(job.error);
      // To the generation before the merge, whose updates are put on top again.
      if (turn % 2 == 1) engine->roll_back("shop");
    }
  });
  for (std::thread& thread : threads) thread.join();
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  std::abort();
}
