#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string catalog;
  std::optional<std::uint64_t> generation;
  bool list = false;
};

void print(std::span<const engine::GenerationSummary> generations) {
  fmt::print("{:>10}  {:<24}  {:>9}  {:<6}  {}\n", "generation", "built", "products", "index",
             "of");
  for (const engine::GenerationSummary& each : generations) {
    const std::string number = fmt::format("{}{}", each.served ? "*" : "", each.generation);
    if (!each.problem.empty()) {
      fmt::print("{:>10}  {}\n", number, each.problem);
    } else {
      fmt::print("{:>10}  {:<24}  {:>9}  {:<6}  {}\n", number, each.created_at, each.products,
                 each.index_kind, each.catalog_file);
    }
  }
}

}  // namespace

std::function<int()> add_rollback(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand.add_option("catalog", options->catalog, "Name of the catalogue")->required();
  CLI::Option* const generation =
      subcommand
          .add_option("--generation", options->generation,
                      "Number of the generation (default: the newest before the current one)")
          ->check(CLI::Range(1, std::numeric_limits<int>::max()));
  subcommand
      .add_flag("--list", options->list, "Change nothing; list what is kept (*: is searched)")
      ->excludes(generation);
  subcommand.footer(
      "Undoes a reindex: a generation that is kept (storage.keep_generations) becomes current "
      "again,\n"
      "with every live update since, those too that the reindex replaced. The one that was "
      "current\n"
      "is kept until the next reindex or merge; its number brings it back. A server that runs on "
      "the\n"
      "same data does this over HTTP.\n"
      "Example: vitrine rollback shop");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::Engine engine(engine_options(config));
    if (options->list) {
      print(engine.generations(options->catalog));
      return 0;
    }
    const engine::CatalogSummary now = engine.roll_back(options->catalog, options->generation);
    fmt::print("catalog {}: generation {} of {} is current, {} products with the updates since\n",
               now.name, now.generation, now.created_at, now.products);
    return 0;
  };
}

}  // namespace vitrine::cli
