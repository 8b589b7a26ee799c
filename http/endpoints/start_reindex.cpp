#include <nlohmann/json.hpp>

#include "base/error.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/json.h"

namespace vitrine::http {
namespace {

constexpr int kMaxNlist = 1'000'000;

/// What the catalog was built from, with what the body changes about the index. Files and folders
/// cannot be changed over HTTP: `vitrine index` does that.
std::optional<engine::IndexRequest> read_overrides(const engine::Engine& engine,
                                                   const std::string& name,
                                                   const Request& request) {
  if (request.body.empty()) return std::nullopt;
  FieldReader fields(parse_json_body(request), "the reindex request");
  engine::IndexRequest result = engine.last_request(name);
  const index::IndexSpec before = result.index;
  if (const auto kind = fields.string("index")) result.index.kind = *kind;
  result.index.nlist = fields.integer("nlist", 0, kMaxNlist).value_or(result.index.nlist);
  result.index.hnsw_m = fields.integer("hnsw_m", 2, 256).value_or(result.index.hnsw_m);
  result.index.ef_construction =
      fields.integer("ef_construction", 1, 4096).value_or(result.index.ef_construction);
  result.index.pq_bytes = fields.integer("pq_bytes", 1, 128).value_or(result.index.pq_bytes);
  result.strict = fields.boolean("strict").value_or(false);
  fields.finish();
  result.index.validate();
  if (result.index != before) {
    result.tuned = false;  // another index than the one that was chosen
    result.search = {};
  }
  return result;
}

}  // namespace

Response start_reindex(const Services& services, const Request& request) {
  const std::string& name = request.path_parameter("catalog");
  const auto overrides = read_overrides(services.engine, name, request);
  return job_started(services.engine, services.engine.start_reindex(name, overrides));
}

}  // namespace vitrine::http
