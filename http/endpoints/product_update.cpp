#include "http/endpoints/product_update.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "base/base64.h"
#include "base/error.h"
#include "http/image_text.h"
#include "http/json.h"
#include "http/message.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

std::vector<float> floats_of_base64(const std::string& text, const std::string& name) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes;
  try {
    bytes = decode_base64(text);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{} is {}", name, error.what()));
  }
  if (bytes.size() % sizeof(float) != 0) {
    throw invalid_argument(
        fmt::format("{} has {} bytes; float32 values have 4 each", name, bytes.size()));
  }
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

/// An array of numbers, or the base64 of little-endian float32.
std::optional<std::vector<float>> read_vector(FieldReader& fields, const std::string& field,
                                              const std::string& where) {
  const std::optional<json> value = fields.value(field);
  if (!value) return std::nullopt;
  const std::string name = fmt::format("\"{}\" of {}", field, where);
  if (value->is_string()) return floats_of_base64(value->get_ref<const std::string&>(), name);
  if (!value->is_array()) {
    throw invalid_argument(fmt::format(
        "{} is {}; it must be an array of numbers, or the base64 of little-endian float32", name,
        type_of(*value)));
  }
  std::vector<float> values;
  values.reserve(value->size());
  for (const json& number : *value) {
    if (!number.is_number()) {
      throw invalid_argument(fmt::format("item {} of {} is {}; it must be a number", values.size(),
                                         name, type_of(number)));
    }
    values.push_back(static_cast<float>(number.get<double>()));
  }
  return values;
}

}  // namespace

engine::ProductUpdate read_product_update(std::string id, json object, const std::string& where) {
  constexpr std::string_view kDataScheme = "data:";
  FieldReader fields(std::move(object), where);
  engine::ProductUpdate update;
  update.id = std::move(id);
  update.caption = fields.string("caption");
  update.attributes = fields.value("attributes");
  update.image = fields.string("image");
  const auto base64 = fields.string("image_base64");
  update.image_embedding = read_vector(fields, "image_embedding", where);
  update.caption_embedding = read_vector(fields, "caption_embedding", where);
  fields.finish();

  if (update.attributes && !update.attributes->is_object()) {
    throw invalid_argument(fmt::format("\"attributes\" of {} is {}; it must be an object", where,
                                       type_of(*update.attributes)));
  }
  if (update.image && base64) {
    throw invalid_argument(where + " has both \"image\" and \"image_base64\"; give one of them");
  }
  if (base64) update.image_bytes = decode_image_text(*base64, "\"image_base64\" of " + where);
  if (update.image && update.image->size() >= kDataScheme.size() &&
      equal_ignoring_case(update.image->substr(0, kDataScheme.size()), kDataScheme)) {
    update.image_bytes = decode_image_text(*update.image, "\"image\" of " + where);
    update.image.reset();
  }
  return update;
}

json update_json(const std::string& id, const engine::UpdateResult& result) {
  return {{"id", id}, {"sequence", result.sequence}, {"created", !result.existed}};
}

}  // namespace vitrine::http
