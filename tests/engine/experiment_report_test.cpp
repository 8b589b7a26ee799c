#include "engine/experiment_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/experiment_plot.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ExperimentReport example() {
  ExperimentReport report;
  report.catalog = "shop";
  report.generation = 7;
  report.sequence = 12;
  report.target = "image";
  report.vectors = 1234567;
  report.dimension = 512;
  report.queries = {{"images", 250}, {"captions", 250}};
  report.k = 10;
  report.instruction_set = "avx512";
  report.cores = 2;
  report.created_at = "2024-02-29T12:34:56.789Z";
  report.seconds = 12.5;
  const auto add = [&](const std::string& kind, double recall, double speed) {
    Measurement& m = report.measurements.emplace_back();
    m.spec.kind = kind;
    m.recall = recall;
    m.group_recalls = {recall, recall};
    m.queries_per_second = speed;
    m.p50_ms = 900 / speed;
    m.p95_ms = 1000 / speed;
    m.p99_ms = 1250 / speed;
    m.build_seconds = 1.5;
    m.bytes_per_vector = 2560;
  };
  add("flat", 1, 500);
  add("ivf", 0.75, 8000);
  add("hnsw", 0.98125, 12345);
  report.measurements[1].spec.nlist = 100;
  report.measurements[1].search.nprobe = 3;
  report.measurements[2].spec.hnsw_m = 24;
  report.measurements[2].search.ef_search = 77;
  return report;
}

TEST(ExperimentJson, KeepsEverything) {
  const nlohmann::json json = to_json(example());
  const ExperimentReport read = experiment_from_json(json);
  EXPECT_EQ(to_json(read), json);
  EXPECT_EQ(read.measurements[1].search.nprobe, 3);
  EXPECT_EQ(read.measurements[2].spec.hnsw_m, 24);
  EXPECT_EQ(read.queries, example().queries);
  EXPECT_EQ(json["measurements"][2]["parameters"],
            nlohmann::json({{"hnsw_m", 24}, {"ef_construction", 200}, {"ef_search", 77}}));
  EXPECT_EQ(json["measurements"][0]["pareto"], true);

  TuningReport tuning;
  tuning.experiment = example();
  tuning.goal.p99_ms = 2;
  tuning.choice = {1, 1, "because"};
  tuning.generation = 8;
  EXPECT_EQ(to_json(tuning_from_json(to_json(tuning))), to_json(tuning));
  EXPECT_EQ(tuning_from_json(to_json(tuning)).choice, tuning.choice);
}

TEST(ExperimentJson, RefusesWhatItDidNotWrite) {
  nlohmann::json json = to_json(example());
  json["measurements"][1].erase("recall");
  EXPECT_EQ(thrown_by([&] { experiment_from_json(json); }).code, ErrorCode::kCorruption);
  EXPECT_EQ(thrown_by([] { experiment_from_json(3); }).code, ErrorCode::kCorruption);
  TuningReport tuning;
  tuning.experiment = example();
  tuning.choice.chosen = 3;  // of three
  EXPECT_EQ(thrown_by([&] { tuning_from_json(to_json(tuning)); }).code, ErrorCode::kCorruption);
}

TEST(ExperimentCsv, HasALineForEachMeasurement) {
  const std::string csv = to_csv(example());
  EXPECT_EQ(std::ranges::count(csv, '\n'), 4);
  EXPECT_THAT(csv,
              HasSubstr("kind,nlist,nprobe,hnsw_m,ef_construction,ef_search,pq_bytes,rescore,"
                        "recall,recall_of_images,recall_of_captions,queries_per_second,p50_ms,"));
  EXPECT_THAT(csv, HasSubstr("\nflat,,,,,,,,1,1,1,500,"));
  EXPECT_THAT(csv, HasSubstr("\nivf,100,3,,,,,,0.75,0.75,0.75,8000,"));
}

TEST(ExperimentPage, HoldsEveryMeasurementAndLoadsNothing) {
  const ExperimentReport report = example();
  const std::string html = to_html(report);
  for (const char* part : {"<!doctype html>", "1,234,567", "250 images and 250 captions", "0.9812",
                           "12,345", "hnsw_m 24", "nprobe 3", "prefers-color-scheme:dark"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  for (const char* part :
       {"http://", "https://", "src=", "url(", "<script", "@import", "nan", "inf"}) {
    EXPECT_THAT(html, Not(HasSubstr(part)));
  }
  EXPECT_THAT(html, Not(HasSubstr("The choice")));
  const TuningChoice choice{2, 2, "It is <fast> & small."};
  EXPECT_THAT(to_html(report, &choice), HasSubstr("It is &lt;fast&gt; &amp; small."));
}

TEST(ExperimentPage, IsSoundWhateverWasMeasured) {
  ExperimentReport report = example();
  report.measurements.resize(1);  // recall 1 alone
  EXPECT_THAT(to_html(report), Not(HasSubstr("nan")));
  report.measurements[0].recall = 0;
  report.measurements[0].queries_per_second = 0;
  EXPECT_THAT(to_html(report), Not(HasSubstr("nan")));
  report.measurements.clear();
  report.catalog = "<script>";
  EXPECT_THAT(to_html(report), Not(HasSubstr("<script>")));
}

TEST(Plot, PutsPointsWithinItsFrame) {
  Plot plot{"p", "a title", "queries/s", {{"hnsw", {}}, {"ivf", {}}, {"flat", {}}}};
  for (const double recall : {0.0, 0.2, 0.9, 0.999, 0.99999, 1.0}) {
    plot.series[2].points.push_back({recall, 1 + 1e5 * recall, true, false, "x"});
  }
  const std::string svg = to_svg(plot);
  std::size_t circles = 0;
  for (std::size_t at = svg.find("<circle"); at != std::string::npos;
       at = svg.find("<circle", at + 1)) {
    ++circles;
    const double x = std::stod(svg.substr(svg.find("cx=\"", at) + 4));
    const double y = std::stod(svg.substr(svg.find("cy=\"", at) + 4));
    EXPECT_TRUE(x >= 78 && x <= 856) << x;
    EXPECT_TRUE(y >= 14 && y <= 374) << y;
  }
  EXPECT_EQ(circles, 6U);
}

}  // namespace
}  // namespace vitrine::engine
