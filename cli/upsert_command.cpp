#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/failures.h"
#include "cli/log.h"
#include "cli/progress_bar.h"
#include "cli/settings.h"
#include "engine/update_file.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string catalog, file;
  bool strict = false;
};

}  // namespace

std::function<int()> add_upsert(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand.add_option("catalog", options->catalog, "Name of the catalogue")->required();
  subcommand
      .add_option(
          "--file", options->file,
          "Catalogue file (.json, .jsonl, .ndjson or .csv) with the products alone that are\n"
          "new or changed; -: JSON lines from the standard input")
      ->required()
      ->type_name("FILE");
  subcommand.add_flag("--strict", options->strict,
                      "Stop at the first product that cannot be written");
  subcommand.footer(
      "A product that exists keeps the image and the caption that its record leaves out, and all "
      "its\n"
      "attributes if the record has none. What is written is on disk and searchable at once, "
      "without\n"
      "a reindex; a product that cannot be written is listed with its reason and the rest goes "
      "on;\n"
      "where none can be written, the exit code is 1.\n"
      "A server that runs on the same data takes updates over HTTP instead.\n"
      "Example: vitrine upsert shop --file changed.jsonl\n"
      "Example: echo '{\"id\": \"17\", \"price\": 19.9}' | vitrine upsert shop --file -");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::UpsertRequest request;
    request.catalog = options->catalog;
    request.file = options->file;
    request.strict = options->strict;
    if (options->file == "-") {
      request.file = "the standard input";
      request.lines = &std::cin;
    }
    engine::Engine engine(engine_options(config));
    ProgressBar bar(std::cerr, ::isatty(STDERR_FILENO) == 1, "products");
    engine::UpsertReport report;
    try {
      report =
          engine::upsert_file(engine, request, [&](std::uint64_t done) { bar.update(done, 0); });
    } catch (...) {
      bar.finish();  // the error's line begins at the left
      throw;
    }
    bar.finish();
    fmt::print("catalog {}: {} products added, {} changed\n", options->catalog, report.created,
               report.changed);
    print_failures(report.failed, report.failures);
    return report.failed > 0 && report.created + report.changed == 0 ? 1 : 0;
  };
}

}  // namespace vitrine::cli
