#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/base64.h"
#include "base/error.h"
#include "base/text.h"
#include "engine/engine.h"
#include "http/endpoints/endpoints.h"
#include "http/endpoints/json_views.h"
#include "http/image_text.h"
#include "http/json.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

/// OpenAI's bound on the inputs of one request.
constexpr std::size_t kMaxInputs = 2048;

/// The inputs of a request. Texts and images are encoded apart; slots say where each result goes.
struct Inputs {
  std::vector<std::string> texts;
  std::vector<std::size_t> text_slots;
  std::vector<std::string> images;
  std::vector<std::size_t> image_slots;

  std::size_t size() const { return texts.size() + images.size(); }
};

void add_input(json& item, const std::string& name, Inputs& inputs) {
  const std::size_t slot = inputs.size();
  if (item.is_string()) {
    inputs.texts.push_back(std::move(item.get_ref<std::string&>()));
    if (inputs.texts.back().empty()) throw invalid_argument(name + " is an empty string");
    inputs.text_slots.push_back(slot);
    return;
  }
  if (item.is_object()) {
    FieldReader fields(std::move(item), name);
    const auto image = fields.string("image");
    fields.finish();
    if (!image) throw invalid_argument(name + " has no \"image\"; it must be base64 or a data URL");
    inputs.images.push_back(decode_image_text(*image, "\"image\" of " + name));
    inputs.image_slots.push_back(slot);
    return;
  }
  throw invalid_argument(
      fmt::format("{} is {}; it must be a string, or an object with an \"image\"{}", name,
                  type_of(item), item.is_number() ? " (token ids are not supported)" : ""));
}

Inputs read_inputs(std::optional<json> input) {
  if (!input) {
    throw invalid_argument(
        "the embeddings request has no \"input\"; it must be a string or an array of strings");
  }
  Inputs inputs;
  if (!input->is_array()) {
    add_input(*input, "\"input\"", inputs);
    return inputs;
  }
  if (input->empty() || input->size() > kMaxInputs) {
    throw invalid_argument(
        fmt::format("\"input\" has {} items; it must have 1 to {}", input->size(), kMaxInputs));
  }
  for (json& item : *input) {
    add_input(item, fmt::format("\"input[{}]\"", inputs.size()), inputs);
  }
  return inputs;
}

/// As OpenAI does it: the base64 of little-endian float32.
json as_base64(std::span<const float> row) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(row.size_bytes(), '\0');
  std::memcpy(bytes.data(), row.data(), bytes.size());
  return encode_base64(bytes);
}

json as_numbers(std::span<const float> row) {
  json::array_t numbers;
  numbers.reserve(row.size());
  for (const float value : row) numbers.emplace_back(shortest(value));
  return numbers;
}

}  // namespace

Response create_embeddings(const Services& services, const Request& request) {
  const encoder::EncoderInfo info = services.engine.encoder().info();
  const std::string served = model_id(services.engine);

  FieldReader fields(parse_json_body(request), "the embeddings request");
  const Inputs inputs = read_inputs(fields.value("input"));
  const std::string model = fields.string("model").value_or(served);
  const std::string format = fields.string("encoding_format").value_or("float");
  fields.string("user");
  const std::optional<int> dimensions = fields.integer("dimensions", 1, 1'000'000);
  fields.finish();
  if (model != served) {
    throw not_found(
        fmt::format("the model \"{}\" is not served here; \"model\" must be \"{}\" or "
                    "be left out",
                    printable(model), served));
  }
  if (format != "float" && format != "base64") {
    throw invalid_argument(fmt::format(
        "\"encoding_format\" is \"{}\"; it must be \"float\" or \"base64\"", printable(format)));
  }
  if (dimensions && *dimensions != info.dimension) {
    throw invalid_argument(
        fmt::format("\"dimensions\" is {}; the model's embeddings have {} and cannot be shortened",
                    *dimensions, info.dimension));
  }

  json::array_t data(inputs.size());
  const auto fill = [&](const Matrix& rows, const std::vector<std::size_t>& slots) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const std::span<const float> row = rows.row(i);
      data[slots[i]] = {{"object", "embedding"},
                        {"index", slots[i]},
                        {"embedding", format == "base64" ? as_base64(row) : as_numbers(row)}};
    }
  };
  std::size_t tokens = 0;
  if (!inputs.texts.empty()) {
    const engine::EncodedTexts encoded = services.engine.encode_texts(inputs.texts);
    fill(encoded.embeddings, inputs.text_slots);
    for (std::size_t i = 0; i < inputs.texts.size(); ++i) {
      data[inputs.text_slots[i]].update(text_length_json(encoded.lengths[i]));
      tokens += encoded.lengths[i].tokens;
    }
  }
  if (!inputs.images.empty()) {
    fill(services.engine.encode_images(inputs.images), inputs.image_slots);
  }
  return json_response({{"object", "list"},
                        {"model", served},
                        {"data", std::move(data)},
                        {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}});
}

}  // namespace vitrine::http
