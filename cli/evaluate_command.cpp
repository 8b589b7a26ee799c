#include <fmt/format.h>

#include <array>
#include <memory>

#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "engine/evaluation.h"

namespace vitrine::cli {
namespace {

/// What the demo catalogue is asked.
constexpr std::array kDemoAttributes{"garment=a photo of a {}", "colour=a photo of a {} garment",
                                     "pattern=a photo of a {} garment"};
constexpr const char* kDemoQuery = "a {colour} {pattern} {garment}";

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string catalog, query;
  std::vector<std::string> attributes, unspoken;
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
  one_value_each(
      subcommand.add_option(
          "--attribute", options->attributes,
          "Attribute to tell by zero-shot classification, and the prompt template; may be\n"
          "repeated (default: garment, colour and pattern, as the demo catalogue has them,\n"
          "unless --query is given)"))
      ->type_name("NAME=TEMPLATE");
  CLI::Option* const query =
      subcommand
          .add_option(
              "--query", options->query,
              "Query asked for each combination of values; \"\" for none (default: the demo\n"
              "catalogue's, unless --attribute is given)")
          ->type_name(fmt::format("\"{}\"", kDemoQuery));
  one_value_each(
      subcommand.add_option("--unspoken", options->unspoken,
                            "Value that a query leaves out, such as plain; may be repeated"))
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
  subcommand.footer(
      "An attribute within another is named by its path, such as maker.name.\n"
      "Example: vitrine evaluate demo\n"
      "Example: vitrine evaluate shop --attribute \"category=a photo of a {}\" --query \"a "
      "{category}\"");
  return [options, query] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::EvaluationRequest request;
    request.catalog = options->catalog;
    // The demo's attributes and query are not asked beside what another catalogue is asked.
    if (options->attributes.empty() && options->query.empty()) {
      options->attributes.assign(kDemoAttributes.begin(), kDemoAttributes.end());
      if (query->count() == 0) options->query = kDemoQuery;
    }
    for (const std::string& text : options->attributes) {
      request.attributes.push_back(parse_task(text));
    }
    request.query_template = options->query;
    request.unspoken_values = options->unspoken;
    request.min_products = static_cast<std::size_t>(options->min_products);
    request.k = options->k;
    request.exact = !options->approximate;
    check_usage([&] { request.validate(); });

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
    } else if (!request.query_template.empty()) {
      fmt::print(
          "no combination of \"{}\" has {} products (--min-products), so none was asked for\n",
          request.query_template, request.min_products);
    }
    return 0;
  };
}

}  // namespace vitrine::cli
