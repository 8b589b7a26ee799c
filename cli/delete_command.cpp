#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>

#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string catalog;
  std::vector<std::string> ids;
};

}  // namespace

std::function<int()> add_delete(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand.add_option("catalog", options->catalog, "Name of the catalogue")->required();
  subcommand.add_option("id", options->ids, "Products")->required()->type_name("ID...");
  subcommand.footer(
      "All of them are deleted, or none if one is not there (a thousand at a time, where there "
      "are\n"
      "more). No search finds them from then on; the catalogue file still has them, and a reindex\n"
      "brings them back. A server that runs on the same data takes deletions over HTTP instead.\n"
      "Example: vitrine delete shop 17 18");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::Engine engine(engine_options(config));
    const std::span<const std::string> ids(options->ids);
    for (std::size_t begin = 0; begin < ids.size(); begin += engine::kMaxUpdates) {
      engine.delete_products(options->catalog,
                             ids.subspan(begin, std::min(engine::kMaxUpdates, ids.size() - begin)));
    }
    fmt::print("catalog {}: {} products deleted, {} left\n", options->catalog, ids.size(),
               engine.catalog(options->catalog)->size());
    return 0;
  };
}

}  // namespace vitrine::cli
