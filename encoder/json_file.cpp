#include "encoder/json_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "encoder/lfs_pointer.h"

namespace vitrine::encoder {
namespace {

/// Values are compared and printed recursively, so depth costs stack. A tokenizer.json has 6.
constexpr int kMaxDepth = 32;
constexpr std::int64_t kMaxSize = 1 << 20;
constexpr std::int64_t kMaxId = 1 << 30;

/// Looks at brackets only; whether the text is JSON at all, the parser says.
bool is_nested_deeply(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

nlohmann::json read_json_object(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const std::string text = read_file(path, max_bytes);
  refuse_lfs_pointer(path, text);
  if (is_nested_deeply(text)) throw corruption(path.string() + ": the JSON is nested too deeply");
  try {
    nlohmann::json json = nlohmann::json::parse(text);
    if (!json.is_object()) throw corruption(path.string() + " is not a JSON object");
    return json;
  } catch (const nlohmann::json::exception& error) {
    throw corruption(
        fmt::format("{} is not JSON: {}", path.string(), printable(error.what(), 200)));
  }
}

JsonFields::JsonFields(const nlohmann::json& object, std::string file, std::string prefix)
    : object_(object), file_(std::move(file)), prefix_(std::move(prefix)) {}

const nlohmann::json* JsonFields::find(const std::string& key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::read_size(const std::string& key, std::int64_t& value) const {
  const nlohmann::json* field = find(key);
  if (field == nullptr) return;
  if (!field->is_number_integer() || *field < 1 || *field > kMaxSize) {
    fail(key, fmt::format("must be an integer in [1, {}]", kMaxSize));
  }
  value = field->get<std::int64_t>();
}

void JsonFields::read_id(const std::string& key, std::int64_t& value) const {
  const nlohmann::json* field = find(key);
  if (field == nullptr) return;
  if (!field->is_number_integer() || *field < 0 || *field > kMaxId) fail(key, "must be a token id");
  value = field->get<std::int64_t>();
}

void JsonFields::read_number(const std::string& key, double low, double high, double& value) const {
  const nlohmann::json* field = find(key);
  if (field == nullptr) return;
  if (!field->is_number() || *field <= low || *field >= high) {
    fail(key, fmt::format("must be a number in ({}, {})", low, high));
  }
  value = field->get<double>();
}

void JsonFields::read_flag(const std::string& key, bool& value) const {
  const nlohmann::json* field = find(key);
  if (field == nullptr) return;
  if (!field->is_boolean()) fail(key, "must be true or false");
  value = field->get<bool>();
}

void JsonFields::fail(const std::string& key, const std::string& wanted) const {
  const auto found = object_.find(key);
  throw invalid_argument(
      fmt::format("{}: {}{} is {}; it {}", file_, prefix_, key,
                  found == object_.end() ? "missing" : printable(found->dump(), 80), wanted));
}

}  // namespace vitrine::encoder
