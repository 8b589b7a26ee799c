#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string catalog, text, image, product, target = "image";
  bool exact = false, json = false;
};

void print_json(const engine::SearchResponse& response) {
  nlohmann::json hits = nlohmann::json::array();
  for (const engine::Hit& hit : response.hits) {
    hits.push_back({{"id", hit.product.id},
                    {"score", hit.score},
                    {"image", hit.product.image},
                    {"caption", hit.product.caption},
                    {"attributes", hit.product.attributes}});
  }
  nlohmann::json answer = {{"hits", hits},
                           {"index_kind", response.index_kind},
                           {"exact", response.exact},
                           {"timings_ms",
                            {{"encode", response.timings.encode_ms},
                             {"search", response.timings.search_ms},
                             {"total", response.timings.total_ms}}}};
  if (response.text) {
    answer["text"] = {{"tokens", response.text->tokens}, {"truncated", response.text->truncated}};
  }
  fmt::print("{}\n", answer.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_table(const engine::SearchResponse& response) {
  for (std::size_t i = 0; i < response.hits.size(); ++i) {
    const engine::Hit& hit = response.hits[i];
    fmt::print("{:3}  {:.4f}  {:<16}  {}\n", i + 1, hit.score, printable(hit.product.id),
               printable(hit.product.caption));
  }
  fmt::print("{} hits, {} index{}; encode {:.1f} ms, search {:.1f} ms, total {:.1f} ms\n",
             response.hits.size(), response.index_kind, response.exact ? ", exact" : "",
             response.timings.encode_ms, response.timings.search_ms, response.timings.total_ms);
}

}  // namespace

std::function<int()> add_search(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand.add_option("catalog", options->catalog, "Name of the catalogue")->required();
  CLI::App* const query = subcommand.add_option_group("query", "Exactly one of");
  query->add_option("--text", options->text, "Products that a text describes")->type_name("TEXT");
  query->add_option("--image", options->image, "Products that look like an image file")
      ->type_name("FILE");
  query->add_option("--product", options->product, "Products that look like a product")
      ->type_name("ID");
  query->require_option(1);
  options->settings.add_flag("--limit", "search.limit", "Hits wanted");
  options->settings.add_flag("--nprobe", "search.nprobe", "ivf: clusters visited");
  options->settings.add_flag("--ef-search", "search.ef_search", "hnsw: beam width");
  subcommand.add_flag("--exact", options->exact, "Compare with every product, whatever the index");
  subcommand.add_option("--target", options->target, "What is compared: image or caption")
      ->check(CLI::IsMember({"image", "caption"}))
      ->type_name("image");
  subcommand.add_flag("--json", options->json, "Print JSON, with the attributes");
  subcommand.footer("Example: vitrine search shop --text \"a red dress\" --limit 5");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    const engine::EngineOptions engine_settings = engine_options(config);
    engine::SearchRequest request;
    request.catalog = options->catalog;
    if (!options->image.empty()) {
      request.image_bytes = read_file(options->image, engine_settings.image_limits.max_bytes);
    } else if (!options->product.empty()) {
      request.product_id = options->product;
    } else {
      request.text = options->text;
    }
    request.limit = config.search.limit;
    request.exact = options->exact;
    request.target =
        options->target == "caption" ? engine::Target::kCaption : engine::Target::kImage;
    request.nprobe = config.search.nprobe;
    request.ef_search = config.search.ef_search;

    const engine::Engine engine(engine_settings);
    const engine::SearchResponse response = engine.search(request);
    if (response.text && response.text->truncated) {
      fmt::print(stderr, "vitrine: the text was cut to {} tokens\n", response.text->tokens);
    }
    options->json ? print_json(response) : print_table(response);
    return 0;
  };
}

}  // namespace vitrine::cli
