#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/experiment_options.h"
#include "cli/interruption.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "cli/stage_progress.h"
#include "engine/tuning.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand), experiment(subcommand) {}
  Settings settings;
  ExperimentOptions experiment;
  engine::TuningRequest tuning;
  bool dry_run = false;
};

}  // namespace

std::function<int()> add_tune(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand
      .add_option("--recall", options->tuning.goal.recall,
                  "Part of the k best hits that must be found, of every group of queries")
      ->type_name("0.95");
  subcommand
      .add_option("--memory-mb", options->tuning.memory_mib,
                  "Memory that the indices of images and captions may take, in MiB")
      ->type_name("MIB");
  subcommand
      .add_option("--bytes-per-vector", options->tuning.goal.bytes_per_vector,
                  "Bytes that a vector may take")
      ->type_name("BYTES");
  subcommand
      .add_option("--latency-ms", options->tuning.goal.p99_ms,
                  "Time that 99 of 100 queries may take at most, on one thread")
      ->type_name("MS");
  subcommand.add_flag("--dry-run", options->dry_run, "Only tell what would be chosen");
  subcommand.footer(
      "Measures kinds of index and their parameters, and makes a generation with the fastest that\n"
      "keeps to the goal; its nprobe and ef_search are what searches use from then on that do not\n"
      "say. Reindexing and merging keep the choice. Exits with 1 when nothing keeps to the goal.\n"
      "Example: vitrine tune shop --recall 0.98 --memory-mb 4000 --dry-run");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::TuningRequest request = options->tuning;
    request.experiment = options->experiment.request();
    check_usage([&] { request.validate(); });
    request.apply = !options->dry_run;
    engine::Engine engine(engine_options(config));
    const std::atomic<bool>& cancel = catch_interruptions();
    const engine::TuningReport report = with_progress(
        [&](const auto& progress) { return engine.tune(request, progress, &cancel); });

    print_measurements(report.experiment, true);
    fmt::print("{}\n", report.choice.reason);
    if (report.generation) {
      fmt::print("catalog {}: generation {} has this index now\n", request.experiment.catalog,
                 *report.generation);
    } else if (report.choice.chosen) {
      fmt::print("Nothing was changed; without --dry-run the catalog would have this index.\n");
    }
    return report.choice.chosen ? 0 : 1;
  };
}

}  // namespace vitrine::cli
