#include "encoder/tokenizer_description.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::encoder {

TokenizerDescription::TokenizerDescription(const nlohmann::json& json, std::string file,
                                           std::string supported)
    : json_(json), file_(std::move(file)), supported_(std::move(supported)) {}

const nlohmann::json& TokenizerDescription::at(const std::string& place) const {
  static const nlohmann::json null;
  const nlohmann::json::json_pointer pointer(place);
  return json_.contains(pointer) ? json_.at(pointer) : null;
}

void TokenizerDescription::expect(const std::string& place, const nlohmann::json& wanted) const {
  if (at(place) != wanted) fail(place, wanted.dump());
}

void TokenizerDescription::fail(const std::string& place, const std::string& wanted) const {
  throw invalid_argument(fmt::format("{}: {} is {}; {}, with {}", file_, place,
                                     printable(at(place).dump()), supported_, wanted));
}

}  // namespace vitrine::encoder
