#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/indexing.h"
#include "engine/jobs.h"
#include "index/vector_index.h"

namespace vitrine::engine {

// The forms in which the engine keeps its own records on disk. from-functions throw Corruption
// when the JSON is not what the to-function writes.

nlohmann::json to_json(const JobStatus& job);
JobStatus job_from_json(const nlohmann::json& json);

nlohmann::json to_json(const index::IndexSpec& spec);
index::IndexSpec index_spec_from_json(const nlohmann::json& json);

/// What a manifest says of the request's index: its spec, and when it is tuned how to search it.
nlohmann::json index_to_json(const IndexRequest& request);
/// Fills index, search and tuned.
void index_from_json(const nlohmann::json& json, IndexRequest& request);

}  // namespace vitrine::engine
