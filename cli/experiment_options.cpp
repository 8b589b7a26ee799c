#include "cli/experiment_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/npy.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/text_lines.h"

namespace vitrine::cli {
namespace {

/// Wider embeddings than any encoder's.
constexpr std::size_t kMaxDimension = 65536;

std::string flag_of(std::string_view parameter) {
  std::string flag = "--" + std::string(parameter);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

Matrix read_vectors(const std::string& path) {
  const NpyReader file(path);
  if (file.rows() < 1 || file.rows() > engine::kMaxExperimentQueries ||
      file.cols() > kMaxDimension) {
    throw invalid_argument(
        fmt::format("{} holds [{}, {}] numbers; queries are 1 to {} rows of at "
                    "most {}",
                    printable(path, 1000), file.rows(), file.cols(), engine::kMaxExperimentQueries,
                    kMaxDimension));
  }
  Matrix vectors(file.rows(), file.cols());
  for (std::size_t row = 0; row < file.rows(); ++row) file.read_row(row, vectors.row(row));
  return vectors;
}

}  // namespace

ExperimentOptions::ExperimentOptions(CLI::App& subcommand) {
  subcommand.add_option("catalog", catalog_, "Name of the catalogue")->required();
  subcommand
      .add_option(
          "--queries", queries_,
          "images, captions or both: embeddings of the catalogue's own products, which are\n"
          "held out of what is searched; or a UTF-8 file with a text a line, blank lines aside,\n"
          "or a .npy file with an embedding a row")
      ->type_name("both|FILE");
  subcommand.add_option("--query-count", query_count_, "Products that are drawn for queries")
      ->check(CLI::Range(1, engine::kMaxExperimentQueries))
      ->type_name(std::to_string(query_count_));
  subcommand.add_option("--k", k_, "Hits of a query that recall is counted on")
      ->check(CLI::Range(1, engine::kMaxExperimentK))
      ->type_name(std::to_string(k_));
  one_value_each(
      subcommand.add_option("--kinds", kinds_,
                            fmt::format("Kinds of index, with commas between (default: {})",
                                        fmt::join(index::index_kinds(), ","))))
      ->delimiter(',')
      ->type_name("KIND,...");
  for (const engine::GridParameter& parameter : engine::grid_parameters()) {
    one_value_each(subcommand.add_option_function<std::vector<int>>(
                       flag_of(parameter.name),
                       [this, name = std::string(parameter.name)](const std::vector<int>& values) {
                         values_[name] = values;
                       },
                       std::string(parameter.help) + "; the values to try, with commas between"))
        ->delimiter(',')
        ->type_name("N,...");
  }
  subcommand.add_option("--target", target_, "Embeddings that are searched: image or caption")
      ->check(CLI::IsMember({"image", "caption"}))
      ->type_name("image");
  subcommand
      .add_option("--max-products", max_products_,
                  "Search no more products than so many, drawn from the catalogue; 0: all")
      ->type_name("0");
}

engine::ExperimentRequest ExperimentOptions::request() const {
  engine::ExperimentRequest request;
  request.catalog = catalog_;
  request.target = target_ == "caption" ? engine::Target::kCaption : engine::Target::kImage;
  request.queries = query_count_;
  request.k = k_;
  request.max_products = max_products_;
  request.grid = {kinds_, values_};
  check_usage([&] { request.validate(); });
  using engine::QuerySource;
  for (const QuerySource source :
       {QuerySource::kImages, QuerySource::kCaptions, QuerySource::kBoth}) {
    if (queries_ != engine::to_string(source)) continue;
    request.source = source;
    return request;
  }
  if (queries_.ends_with(".npy")) {
    request.source = QuerySource::kVectors;
    request.vectors = read_vectors(queries_);
  } else {
    request.source = QuerySource::kTexts;
    request.texts = read_lines(queries_);
    std::erase_if(request.texts, [](const std::string& text) {
      return text.find_first_not_of(" \t\r\n") == std::string::npos;
    });
  }
  request.validate();
  return request;
}

void print_measurements(const engine::ExperimentReport& report, bool all) {
  const std::vector<bool> curve = engine::on_pareto_curve(report.measurements);
  fmt::print("  {:<56} {:>7} {:>11} {:>9} {:>9} {:>9} {:>10}\n", "", "recall", "queries/s",
             "p50 ms", "p99 ms", "build s", "bytes/vec");
  for (std::size_t i = 0; i < report.measurements.size(); ++i) {
    if (!all && !curve[i]) continue;
    const engine::Measurement& m = report.measurements[i];
    fmt::print("{} {:<56} {:>7.4f} {:>11.0f} {:>9.3f} {:>9.3f} {:>9.2f} {:>10.0f}\n",
               curve[i] ? '*' : ' ', engine::describe(m.spec, m.search), m.recall,
               m.queries_per_second, m.p50_ms, m.p99_ms, m.build_seconds, m.bytes_per_vector);
  }
}

}  // namespace vitrine::cli
