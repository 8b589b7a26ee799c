#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "http/endpoints/json_views.h"

namespace vitrine::cli {
namespace {

nlohmann::json describe(const encoder::Encoder& encoder) {
  nlohmann::json description = http::encoder_json(encoder);
  description["model"] = encoder.info().model;
  return description;
}

nlohmann::json describe(const engine::CatalogSummary& catalog) {
  nlohmann::json description = http::catalog_json(catalog);
  description["images"] = catalog.image_source_type + ":" + catalog.image_source_location;
  return description;
}

void print(const std::string& title, const nlohmann::json& values) {
  fmt::print("{}\n", title);
  for (const auto& [key, value] : values.items()) {
    if (value.is_null()) continue;
    fmt::print("  {:<31}{}\n", key,
               value.is_string() ? printable(value.get<std::string>(), 1000) : value.dump());
  }
}

}  // namespace

std::function<int()> add_info(CLI::App& subcommand) {
  auto settings = std::make_shared<Settings>(subcommand);
  auto json = std::make_shared<bool>(false);
  subcommand.add_flag("--json", *json, "Print JSON");
  subcommand.footer("Example: vitrine info --model ~/models/fashion-clip");
  return [settings, json] {
    const config::Config config = settings->load();
    set_up_quiet_log(config.log);
    server_options(config).validate();  // a configuration that does not serve is none
    engine::EngineOptions options = engine_options(config);
    if (!std::filesystem::exists(options.data_dir)) {
      options.data_dir.clear();  // looking must not create it
    }
    const engine::Engine engine(options);
    const nlohmann::json encoder = describe(engine.encoder());
    nlohmann::json catalogs = nlohmann::json::array();
    if (!options.data_dir.empty()) {
      for (const engine::CatalogSummary& catalog : engine.catalogs()) {
        catalogs.push_back(describe(catalog));
      }
    }
    nlohmann::json configuration = nlohmann::json::object();
    for (const auto& [key, value] : config::settings_of(config)) {
      configuration[key] = key == "server.admin_token" && !value.empty() ? "(set)" : value;
    }
    const auto file = settings->file();
    if (*json) {
      fmt::print("{}\n", nlohmann::json{{"version", VITRINE_VERSION},
                                        {"encoder", encoder},
                                        {"catalogs", catalogs},
                                        {"configuration_file", file ? file->string() : ""},
                                        {"configuration", configuration}}
                             .dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
      return 0;
    }
    fmt::print("vitrine {}\n", VITRINE_VERSION);
    print("encoder", encoder);
    for (const nlohmann::json& catalog : catalogs) {
      print("catalog", catalog);
    }
    if (catalogs.empty()) {
      fmt::print("no catalogues in {}\n", config.storage.data_dir);
    }
    print("configuration (" + (file ? file->string() : std::string("defaults")) + ")",
          configuration);
    return 0;
  };
}

}  // namespace vitrine::cli
