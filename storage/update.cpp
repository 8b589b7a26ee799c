#include "storage/update.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::storage {
namespace {

using nlohmann::json;

constexpr std::string_view kUploadPrefix = "upload:";

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

void append(std::string& value, const std::vector<float>& embedding) {
  value.append(reinterpret_cast<const char*>(embedding.data()), embedding.size() * sizeof(float));
}

std::vector<float> floats(std::string_view bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return std::nullopt;
}

}  // namespace

void validate(const Update& update) {
  if (update.deleted) {
    if (const std::string fault = find_id_fault(update.product.id); !fault.empty()) {
      throw invalid_argument("an update: " + fault);
    }
    return;
  }
  if (const std::string fault = find_fault(update.product, ImageName::kOptional); !fault.empty()) {
    throw invalid_argument(fmt::format("product \"{}\": {}", printable(update.product.id), fault));
  }
  const std::size_t columns = update.image_embedding.size();
  if (columns == 0 || update.caption_embedding.size() != columns ||
      !all_finite(update.image_embedding) || !all_finite(update.caption_embedding)) {
    throw invalid_argument(fmt::format(
        "product \"{}\": its embeddings have {} and {} columns; both need as many, all finite",
        printable(update.product.id), columns, update.caption_embedding.size()));
  }
}

std::string upload_name(const Sha256Digest& digest) {
  return std::string(kUploadPrefix) + to_hex(digest);
}

std::optional<Sha256Digest> parse_upload_name(std::string_view image) {
  Sha256Digest digest;
  if (!image.starts_with(kUploadPrefix)) return std::nullopt;
  image.remove_prefix(kUploadPrefix.size());
  if (image.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const auto high = hex_digit(image[2 * i]);
    const auto low = hex_digit(image[2 * i + 1]);
    if (!high || !low) return std::nullopt;
    digest[i] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  return digest;
}

// The record as JSON, a NUL, which JSON never contains, and the two embeddings.
std::string encode_update(const Update& update) {
  validate(update);
  json record = {{"id", update.product.id}, {"time_ms", update.time_ms}};
  if (!update.deleted) {
    record["image"] = update.product.image;
    record["caption"] = update.product.caption;
    record["attributes"] = update.product.attributes;
    record["encoder"] = update.encoder_fingerprint;
    record["columns"] = update.image_embedding.size();
  }
  std::string value = record.dump();
  value += '\0';
  if (!update.deleted) {
    append(value, update.image_embedding);
    append(value, update.caption_embedding);
  }
  return value;
}

Update decode_update(const std::string& catalog, std::uint64_t sequence, std::string_view value) {
  const auto malformed = [&](std::string_view why) {
    return corruption(
        fmt::format("the stored update {} of catalog {} is malformed: {}", sequence, catalog, why));
  };
  const std::size_t end = value.find('\0');
  if (end == std::string_view::npos) throw malformed("it is cut");
  Update update;
  update.sequence = sequence;
  std::size_t columns = 0;
  try {
    json record = json::parse(value.substr(0, end));
    record.at("id").get_to(update.product.id);
    record.at("time_ms").get_to(update.time_ms);
    update.deleted = !record.contains("caption");
    if (!update.deleted) {
      record.at("image").get_to(update.product.image);
      record.at("caption").get_to(update.product.caption);
      update.product.attributes = std::move(record.at("attributes"));
      record.at("encoder").get_to(update.encoder_fingerprint);
      record.at("columns").get_to(columns);
    }
  } catch (const json::exception& error) {
    throw malformed(error.what());
  }
  const std::string_view embeddings = value.substr(end + 1);
  if (embeddings.size() / (2 * sizeof(float)) != columns ||
      embeddings.size() % (2 * sizeof(float)) != 0) {
    throw malformed("an embedding is cut");
  }
  update.image_embedding = floats(embeddings.substr(0, embeddings.size() / 2));
  update.caption_embedding = floats(embeddings.substr(embeddings.size() / 2));
  try {
    validate(update);
  } catch (const Error& error) {
    throw malformed(error.what());
  }
  return update;
}

}  // namespace vitrine::storage
