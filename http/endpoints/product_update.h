#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "engine/updates.h"

namespace vitrine::http {

/// What a request says about the product `id`. fields: a JSON object; where: what it is, for
/// messages. Throws InvalidArgument naming the field.
engine::ProductUpdate read_product_update(std::string id, nlohmann::json fields,
                                          const std::string& where);

/// {"id", "sequence", "created"}.
nlohmann::json update_json(const std::string& id, const engine::UpdateResult& result);

}  // namespace vitrine::http
