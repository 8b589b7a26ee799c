#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/search.h"

/// Searches in JSON, for the endpoints that take them and `vitrine search --json`.
namespace vitrine::http {

/// fields: an object as a search's body is. where: what it is, for messages. An image may come
/// beside it. Throws InvalidArgument naming the field.
engine::SearchRequest read_search(const std::string& catalog, nlohmann::json fields,
                                  const std::string& where,
                                  std::optional<std::string> image_bytes = std::nullopt);

nlohmann::json search_json(const engine::SearchRequest& request,
                           const engine::SearchResponse& response);

}  // namespace vitrine::http
