#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/experiment_options.h"
#include "cli/interruption.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "cli/stage_progress.h"
#include "engine/experiment_report.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand), experiment(subcommand) {}
  Settings settings;
  ExperimentOptions experiment;
  std::string out;
};

/// Made before anything is measured, so that an hour's work is not lost to a wrong name.
void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error || !std::filesystem::is_directory(folder)) {
    throw invalid_argument(fmt::format("cannot make the folder {}: {}", folder.string(),
                                       error ? error.message() : "there is a file of that name"));
  }
}

}  // namespace

std::function<int()> add_experiment(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand
      .add_option("--out", options->out,
                  "Folder for report.html, report.csv and report.json (default: NAME-experiment)")
      ->type_name("DIR");
  subcommand.footer(
      "Builds each index beside the catalogue, which stays as it is; the catalogue must not be\n"
      "served meanwhile (a server takes POST /v1/admin/catalogs/NAME/experiment). Flags with\n"
      "values to try take lists, every combination is measured. Ctrl-C stops.\n"
      "Example: vitrine experiment shop --kinds hnsw --hnsw-m 16,32 --ef-search 32,64,128");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    const engine::ExperimentRequest request = options->experiment.request();
    const std::filesystem::path folder =
        options->out.empty() ? request.catalog + "-experiment" : options->out;
    engine::Engine engine(engine_options(config));
    engine.catalog(request.catalog);  // before a folder is made for it
    make_folder(folder);
    const std::atomic<bool>& cancel = catch_interruptions();
    const engine::ExperimentReport report = with_progress(
        [&](const auto& progress) { return engine.experiment(request, progress, &cancel); });

    write_file_atomically(folder / "report.csv", engine::to_csv(report));
    write_file_atomically(folder / "report.json", engine::to_json(report).dump(2) + "\n");
    write_file_atomically(folder / "report.html", engine::to_html(report));
    print_measurements(report, false);
    fmt::print("{} ways to search {} embeddings in {:.1f} s; the best are shown, all are in {}\n",
               report.measurements.size(), report.vectors, report.seconds,
               (folder / "report.html").string());
    return 0;
  };
}

}  // namespace vitrine::cli
