// Indexes a catalog with a slow encoder and appends a byte to a log before each batch of images and
// when it is done, so that whoever kills it knows what it had done. Arguments: data folder, catalog
// file, images, log.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "support.h"

int main(int argc, char** argv) try {
  using namespace vitrine::engine;
  if (argc != 5) return 2;
  const int log = ::open(argv[4], O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (log < 0) return 2;
  const TestEngine engine(argv[1], 'a', [log] {
    if (::write(log, "b", 1) != 1) std::abort();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // a model's forward pass
  });
  IndexRequest request;
  request.name = "shop";
  request.catalog_file = argv[2];
  request.image_source.location = argv[3];
  engine->index_catalog(request);
  return ::write(log, "d", 1) == 1 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
