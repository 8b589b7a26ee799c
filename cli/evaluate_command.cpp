#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "engine/evaluation.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string catalog;
  std::vector<std::string> attributes{"garment=a photo of a {}", "colour=a photo of a {} garment",
                                      "pattern=a photo of a {} garment"};
  std::string query = "a {colour} {pattern} {garment}";
  std::vector<std::string> unspoken;
  int k = 10;
  int min_products = 10;
  bool approximate = false;
};

engine::AttributeTask parse_task(const std::string& text) {
  engine::AttributeTask task;
  const std::size_t equals = text.find('=');
  task.attribute = text.substr(0, equals);
  if (task.attribute.empty()) {
    throw UsageError("--attribute \"" + text + "\" has no name; valid: NAME or NAME=TEMPLATE");
  }
  if (equals != std::string::npos) {
    task.prompt_template = text.substr(equals + 1);
  }
  return task;
}

}  // namespace

std::function<int()> add_evaluate(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand.add_option("catalog", options->catalog, "Name of the catalogue")->required();
  subcommand
      .add_option("--attribute", options->attributes,
                  "Attribute to tell by zero-shot classification, and the prompt template; may be\n"
                  "repeated (default: garment, colour and pattern, as the demo catalogue has them)")
      ->type_name("NAME=TEMPLATE");
  subcommand
      .add_option("--query", options->query,
                  "Query asked for each combination of values; \"\" for none")
      ->type_name("\"" + options->query + "\"");
  subcommand
      .add_option("--unspoken", options->unspoken, "Values that a query leaves out, such as plain")
      ->type_name("VALUE");
  subcommand.add_option("--k", options->k, "Hits that precision is measured on")
      ->check(CLI::Range(1, engine::kMaxLimit))
      ->type_name("10");
  subcommand
      .add_option("--min-products", options->min_products,
                  "Products a combination must have to be asked for")
      ->check(CLI::Range(1, 1'000'000))
      ->type_name("10");
  subcommand.add_flag("--approximate", options->approximate,
                      "Search as the index's kind does, not exactly");
  subcommand.footer("Example: vitrine evaluate demo");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::EvaluationRequest request;
    request.catalog = options->catalog;
    for (const std::string& text : options->attributes) {
      request.attributes.push_back(parse_task(text));
    }
    request.query_template = options->query;
    request.unspoken_values = options->unspoken;
    request.min_products = static_cast<std::size_t>(options->min_products);
    request.k = options->k;
    request.exact = !options->approximate;

    const engine::Engine engine(engine_options(config));
    const engine::EvaluationReport report = engine::evaluate(engine, request);
    fmt::print("| measure | products | score |\n|---|---|---|\n");
    for (const engine::AttributeScore& score : report.attributes) {
      fmt::print("| {} of {}, weighted macro F1 | {} | {:.3f} |\n", score.attribute, score.labels,
                 score.products, score.weighted_f1);
      fmt::print("| {} of {}, accuracy | {} | {:.3f} |\n", score.attribute, score.labels,
                 score.products, score.accuracy);
    }
    if (report.queries > 0) {
      fmt::print("| precision@{}, mean of {} queries \"{}\" | {} | {:.3f} |\n", request.k,
                 report.queries, request.query_template, engine.catalog(request.catalog)->size(),
                 report.mean_precision);
    }
    return 0;
  };
}

}  // namespace vitrine::cli
