#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/interruption.h"
#include "cli/log.h"
#include "cli/progress_bar.h"
#include "cli/settings.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string catalog, folder, target;
};

}  // namespace

std::function<int()> add_export(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand.add_option("catalog", options->catalog, "Name of the catalogue")->required();
  subcommand.add_option("--out", options->folder, "Folder to write to: a new or an empty one")
      ->required()
      ->type_name("DIR");
  subcommand
      .add_option("--target", options->target,
                  "Only the vectors of images, or of captions (default: both)")
      ->check(CLI::IsMember({"image", "caption"}))
      ->type_name("image|caption");
  subcommand.footer(
      "Writes images.npy and captions.npy (float32 [products, dimension], unit length), ids.txt "
      "(an\n"
      "id a line, of row i in line i+1) and catalog.jsonl, of the catalogue as searches see it, "
      "with\n"
      "its live updates. Indexing them makes the same catalogue:\n"
      "vitrine index copy --file out/catalog.jsonl --image-vectors out/images.npy \\\n"
      "  --caption-vectors out/captions.npy\n"
      "Example: vitrine export shop --out out/");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::ExportRequest request;
    request.catalog = options->catalog;
    request.folder = options->folder;
    if (options->target == "image") request.target = engine::Target::kImage;
    if (options->target == "caption") request.target = engine::Target::kCaption;

    const engine::Engine engine(engine_options(config));
    const std::atomic<bool>& interrupted = catch_interruptions();
    ProgressBar bar(std::cerr, ::isatty(STDERR_FILENO) == 1, "exporting");
    engine::ExportReport report;
    try {
      report = engine.export_catalog(
          request, [&](std::uint64_t done, std::uint64_t total) { bar.update(done, total); },
          &interrupted);
    } catch (...) {
      bar.finish();  // the error's line begins at the left
      throw;
    }
    bar.finish();
    fmt::print("catalog {}, generation {} with updates up to {}: {} products, {} values a vector\n",
               options->catalog, report.generation, report.sequence, report.products,
               report.dimension);
    return 0;
  };
}

}  // namespace vitrine::cli
