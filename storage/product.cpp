#include "storage/product.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace vitrine::storage {
namespace {

bool is_control(char byte) {
  const auto value = static_cast<unsigned char>(byte);
  return value < 0x20 || value == 0x7f;
}

/// C1 controls (U+0080 to U+009F) are two bytes in UTF-8.
bool has_c1_control(std::string_view text) {
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const auto next = static_cast<unsigned char>(text[i + 1]);
    if (static_cast<unsigned char>(text[i]) == 0xc2 && next >= 0x80 && next <= 0x9f) return true;
  }
  return false;
}

std::string find_text_fault(std::string_view field, std::string_view text, std::size_t max_bytes) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return fmt::format("{} is missing or empty; it must be a text", field);
  }
  if (text.size() > max_bytes) {
    return fmt::format("{} has {} bytes; at most {} are allowed", field, text.size(), max_bytes);
  }
  if (const auto position = find_invalid_utf8(text)) {
    return fmt::format("{} is not valid UTF-8 at byte {}; save the catalog as UTF-8", field,
                       *position);
  }
  return {};
}

std::string find_name_fault(std::string_view field, std::string_view text, std::size_t max_bytes) {
  std::string fault = find_text_fault(field, text, max_bytes);
  if (fault.empty() &&
      (std::any_of(text.begin(), text.end(), is_control) || has_c1_control(text))) {
    fault =
        fmt::format("{} \"{}\" contains a control character; remove it", field, printable(text));
  }
  return fault;
}

}  // namespace

std::string find_id_fault(std::string_view id) { return find_name_fault("id", id, kMaxIdBytes); }

std::string find_new_id_fault(std::string_view id) {
  // Clients take them for folders of a product's URL, also where they are escaped.
  if (id == "." || id == "..") {
    return fmt::format("id is \"{}\", which no URL can name; give it another", id);
  }
  return find_id_fault(id);
}

std::string find_fault(const Product& product, ImageName image) {
  if (std::string fault = find_id_fault(product.id); !fault.empty()) return fault;
  if (image == ImageName::kRequired || !product.image.empty()) {
    if (std::string fault = find_name_fault("image", product.image, kMaxImageBytes);
        !fault.empty()) {
      return fault;
    }
  }
  if (std::string fault = find_text_fault("caption", product.caption, kMaxCaptionBytes);
      !fault.empty()) {
    return fault;
  }
  if (!product.attributes.is_object()) {
    return fmt::format("attributes are {}; they must be an object", product.attributes.type_name());
  }
  std::string printed;
  try {
    printed = product.attributes.dump();
  } catch (const nlohmann::json::type_error&) {
    return "attributes are not valid UTF-8; save the catalog as UTF-8";
  }
  if (printed.size() > kMaxAttributesBytes) {
    return fmt::format("attributes have {} bytes as JSON; at most {} are allowed", printed.size(),
                       kMaxAttributesBytes);
  }
  return {};
}

}  // namespace vitrine::storage
