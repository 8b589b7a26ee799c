#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "engine/filter/filter_json.h"
#include "http/endpoints/search_json.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string catalog, target = "image";
  std::vector<std::string> texts, images, products, unlike_texts, unlike_images, unlike_products;
  std::string filter;
  std::vector<std::string> facets;
  bool exact = false, compare = false, json = false;
  float caption_weight = 0.5F;
  std::optional<float> min_score;
  std::string group_by;
};

/// As HTTP answers, but that an image has its name in the catalogue instead of a URL, and that
/// there is no next page to ask for.
void print_json(const engine::SearchRequest& request, const engine::SearchResponse& response) {
  nlohmann::json answer = http::search_json(request, response);
  answer.erase("next_cursor");
  for (std::size_t i = 0; i < response.hits.size(); ++i) {
    nlohmann::json& hit = answer["hits"][i];
    hit.erase("image_url");
    hit["image"] = response.hits[i].product.image;
  }
  fmt::print("{}\n", answer.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_table(const engine::SearchResponse& response) {
  for (std::size_t i = 0; i < response.hits.size(); ++i) {
    const engine::Hit& hit = response.hits[i];
    fmt::print("{:3}  {:.4f}  {:<16}  {}\n", i + 1, hit.score, printable(hit.product.id),
               printable(hit.product.caption));
  }
  for (const engine::Facet& facet : response.facets) {
    fmt::print("{}:", printable(facet.field));
    for (const engine::FacetValue& value : facet.values) {
      fmt::print(" {} ({})", printable(engine::value_json(value.value).dump()), value.count);
    }
    fmt::print("\n");
  }
  if (response.matching) fmt::print("{} products match; ", *response.matching);
  fmt::print("{} hits, {} index{}; encode {:.1f} ms, search {:.1f} ms, total {:.1f} ms\n",
             response.hits.size(), response.index_kind, response.exact ? ", exact" : "",
             response.timings.encode_ms, response.timings.search_ms, response.timings.total_ms);
  if (response.comparison) {
    const engine::ExactComparison& comparison = *response.comparison;
    fmt::print(
        "{} of {} exact hits found, recall {:.3f}; found in {:.3f} ms, exactly in {:.3f} ms\n",
        comparison.exact_hits - comparison.missed.size(), comparison.exact_hits, comparison.recall,
        comparison.approximate_ms, comparison.exact_ms);
    for (const std::string& id : comparison.missed) fmt::print("missed {}\n", printable(id));
  }
}

void add_terms(std::vector<engine::QueryTerm>& terms, const std::vector<std::string>& texts,
               const std::vector<std::string>& images, const std::vector<std::string>& products,
               float weight, std::uint64_t max_image_bytes) {
  const auto add = [&](const auto& set) {
    engine::QueryTerm term;
    term.weight = weight;
    set(term);
    terms.push_back(std::move(term));
  };
  for (const std::string& text : texts) {
    add([&](engine::QueryTerm& term) { term.text = text; });
  }
  for (const std::string& image : images) {
    add([&](engine::QueryTerm& term) { term.image_bytes = read_file(image, max_image_bytes); });
  }
  for (const std::string& product : products) {
    add([&](engine::QueryTerm& term) { term.product_id = product; });
  }
}

/// A term alone is as HTTP's "text", "image" or "product_id", whose answers differ from a
/// "query"'s.
void set_query(engine::SearchRequest& request, std::vector<engine::QueryTerm> terms) {
  if (terms.size() != 1 || terms[0].weight < 0) {
    request.terms = std::move(terms);
    return;
  }
  request.text = std::move(terms[0].text);
  request.image_bytes = std::move(terms[0].image_bytes);
  request.product_id = std::move(terms[0].product_id);
}

}  // namespace

std::function<int()> add_search(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand.add_option("catalog", options->catalog, "Name of the catalogue")->required();
  CLI::App* const query =
      subcommand.add_option_group("query", "At least one of; each may be given several times");
  const auto add_term_option = [query](const char* name, std::vector<std::string>& values,
                                       const char* type, const char* help) {
    one_value_each(query->add_option(name, values, help))->type_name(type);
  };
  add_term_option("--text", options->texts, "TEXT", "Products that a text describes");
  add_term_option("--image", options->images, "FILE", "Products that look like an image file");
  add_term_option("--product", options->products, "ID", "Products that look like a product");
  add_term_option("--not-text", options->unlike_texts, "TEXT",
                  "... and are not as a text describes");
  add_term_option("--not-image", options->unlike_images, "FILE",
                  "... and do not look like an image file");
  add_term_option("--not-product", options->unlike_products, "ID",
                  "... and do not look like a product");
  query->require_option(1, 0);
  options->settings.add_flag("--limit", "search.limit", "Hits wanted");
  options->settings.add_flag("--nprobe", "search.nprobe", "ivf, ivf_pq: clusters visited");
  options->settings.add_flag("--ef-search", "search.ef_search", "hnsw: beam width");
  options->settings.add_flag("--rescore", "search.rescore",
                             "ivf_pq: vectors compared in float32 for each hit");
  subcommand.add_flag("--exact", options->exact, "Compare with every product, whatever the index");
  subcommand.add_flag("--compare", options->compare,
                      "Search exactly as well, and tell which of those hits were missed");
  subcommand.add_option("--target", options->target, "What is compared: image, caption or both")
      ->check(CLI::IsMember({"image", "caption", "both"}))
      ->type_name("image");
  subcommand
      .add_option("--filter", options->filter,
                  "Only products whose attributes pass a filter (docs/filters.md)")
      ->type_name("JSON");
  one_value_each(subcommand.add_option(
                     "--facet", options->facets,
                     "Count the values of a field among the products that pass; may be repeated"))
      ->type_name("FIELD");
  subcommand
      .add_option("--caption-weight", options->caption_weight,
                  "With --target both: part of the score that captions decide")
      ->check(CLI::Range(0.0F, 1.0F))
      ->capture_default_str();
  subcommand.add_option("--min-score", options->min_score, "Leave out hits below");
  subcommand
      .add_option("--group-by", options->group_by,
                  "Only the best hit of each value of an attribute")
      ->type_name("ATTRIBUTE");
  subcommand.add_flag("--json", options->json, "Print JSON, with the attributes");
  subcommand.footer(
      "Example: vitrine search shop --text \"a red dress\" --limit 5\n"
      "Example: vitrine search shop --product 17 --text \"in red\" --not-text \"long sleeves\"\n"
      "Example: vitrine search shop --text \"a dress\" --filter '{\"must\": [{\"key\": \"price\", "
      "\"range\": {\"lt\": 50}}]}'");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    const engine::EngineOptions engine_settings = engine_options(config);
    engine::SearchRequest request;
    request.catalog = options->catalog;
    std::vector<engine::QueryTerm> terms;
    add_terms(terms, options->texts, options->images, options->products, 1,
              engine_settings.image_limits.max_bytes);
    add_terms(terms, options->unlike_texts, options->unlike_images, options->unlike_products, -1,
              engine_settings.image_limits.max_bytes);
    set_query(request, std::move(terms));
    request.limit = config.search.limit;
    request.exact = options->exact;
    request.compare = options->compare;
    request.target =
        options->target == "caption" ? engine::Target::kCaption : engine::Target::kImage;
    if (options->target == "both") request.caption_weight = options->caption_weight;
    request.min_score = options->min_score;
    request.group_by = options->group_by;
    if (config.search.nprobe > 0) request.nprobe = config.search.nprobe;
    if (config.search.ef_search > 0) request.ef_search = config.search.ef_search;
    if (config.search.rescore > 0) request.rescore = config.search.rescore;
    if (!options->filter.empty()) {
      request.filter = std::make_shared<const engine::Filter>(check_usage(
          [&] { return engine::filter_from_json(parse_json(options->filter, "--filter")); }));
    }
    request.facets = options->facets;
    check_usage([&] { request.validate(); });

    const engine::Engine engine(engine_settings);
    const engine::SearchResponse response = engine.search(request);
    for (const engine::TextLength& length : response.texts) {
      if (length.truncated) {
        fmt::print(stderr, "vitrine: a text was cut to {} tokens\n", length.tokens);
      }
    }
    options->json ? print_json(request, response) : print_table(response);
    return 0;
  };
}

}  // namespace vitrine::cli
