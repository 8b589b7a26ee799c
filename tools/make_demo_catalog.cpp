// Turns Fashion-MNIST into a colour catalogue: PNG files and catalog.jsonl.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "tools/demo_catalog.h"
#include "tools/fashion_mnist.h"

int main(int argc, char** argv) {
  using namespace vitrine::tools;
  std::filesystem::path data = kFashionMnistFolder, out;
  std::string split = "test";
  std::size_t limit = 0;
  CLI::App app("Makes a colour catalogue of garments; the same one on every machine");
  app.add_option("out", out, "Folder to write: catalog.jsonl, images/*.png")->required();
  app.add_option("--split", split, "Photos to use: test (10,000) or train (60,000)")
      ->check(CLI::IsMember({"train", "test"}))
      ->capture_default_str();
  app.add_option("--limit", limit, "Only the first so many products (0: all)");
  app.add_option("--data", data, "Folder with Fashion-MNIST's *.gz files")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    const std::vector<GarmentPhoto> photos = load_fashion_mnist(data, split);
    const std::size_t count = limit == 0 ? photos.size() : std::min(limit, photos.size());
    const bool terminal = isatty(STDERR_FILENO) == 1;
    write_demo_catalog(std::span(photos).first(count), split, out, [&](std::size_t done) {
      if (terminal && (done % 100 == 0 || done == count)) {
        fmt::print(stderr, "\rpainted {} of {} products", done, count);
      }
    });
    if (terminal) fmt::print(stderr, "\n");
    fmt::print("{} products in {}\n", count, (out / "catalog.jsonl").string());
  } catch (const std::exception& error) {
    fmt::print(stderr, "make_demo_catalog: {}\n", error.what());
    return 1;
  }
  return 0;
}
