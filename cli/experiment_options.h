#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "engine/experiment.h"

namespace vitrine::cli {

/// The flags that say what is measured, which `experiment` and `tune` share.
class ExperimentOptions {
 public:
  explicit ExperimentOptions(CLI::App& subcommand);

  /// Reads the file of --queries, when it is one. Throws UsageError or what reading it throws.
  engine::ExperimentRequest request() const;

 private:
  std::string catalog_, target_ = "image", queries_ = "both";
  int query_count_ = engine::ExperimentRequest{}.queries;
  int k_ = engine::ExperimentRequest{}.k;
  std::size_t max_products_ = 0;
  std::vector<std::string> kinds_;
  std::map<std::string, std::vector<int>, std::less<>> values_;  // by the parameter's name
};

/// The measurements as a table, those of the Pareto curves marked. all: the others too.
void print_measurements(const engine::ExperimentReport& report, bool all);

}  // namespace vitrine::cli
