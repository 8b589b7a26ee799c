#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/experiment.h"
#include "engine/tuning.h"

/// An experiment's report in the forms that people and programs read (docs/experiments.md).
namespace vitrine::engine {

nlohmann::json to_json(const ExperimentReport& report);
/// Throws Corruption when the JSON is not what to_json() writes.
ExperimentReport experiment_from_json(const nlohmann::json& json);

/// The experiment's JSON with "goal", "choice" and "generation".
nlohmann::json to_json(const TuningReport& report);
TuningReport tuning_from_json(const nlohmann::json& json);

/// A header and a line for each measurement; every parameter has a column, empty where the kind
/// does not have it (RFC 4180, but lines end with \n).
std::string to_csv(const ExperimentReport& report);

/// One page that loads nothing: the same as plots (SVG) and a table. choice: of a tuning.
std::string to_html(const ExperimentReport& report, const TuningChoice* choice = nullptr);

}  // namespace vitrine::engine
