#include "base/json.h"

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace vitrine {
namespace {

using nlohmann::json;

/// What nlohmann says, without its "[json.exception.parse_error.101] " in front.
std::string reason_of(const json::exception& error) {
  std::string_view text = error.what();
  const std::size_t end = text.find("] ");
  if (text.starts_with('[') && end != std::string_view::npos) text.remove_prefix(end + 2);
  return printable(text, 300);
}

/// Builds the value from the parser's events. Not json::parse with a callback: that one walks the
/// whole parent at the end of each object, which takes hours for an array of millions.
class Builder {
 public:
  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(json::number_integer_t value) { return add(value); }
  bool number_unsigned(json::number_unsigned_t value) { return add(value); }
  bool number_float(json::number_float_t value, const std::string& /*as_written*/) {
    return add(value);
  }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(json::binary_t& value) { return add(std::move(value)); }
  bool start_object(std::size_t /*size*/) { return open(json::object()); }
  bool start_array(std::size_t /*size*/) { return open(json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    const auto [member, is_new] = open_.back()->emplace(std::move(name), nullptr);
    if (!is_new) {
      throw invalid_argument(
          fmt::format("the JSON has the key \"{}\" twice in one object", printable(member.key())));
    }
    member_ = &*member;
    return true;
  }

  bool parse_error(std::size_t /*position*/, const std::string& /*last_token*/,
                   const json::exception& error) {
    error_ = reason_of(error);
    return false;
  }

  json take() { return std::move(root_); }
  /// Why the text is malformed.
  const std::string& error() const { return error_; }

 private:
  bool add(json value) {
    place(std::move(value));
    return true;
  }

  bool open(json container) {
    if (open_.size() >= kMaxJsonDepth) {
      throw invalid_argument(
          fmt::format("the JSON is nested more than {} levels deep", kMaxJsonDepth));
    }
    open_.push_back(&place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  /// Where the value now is. Elements move when their array grows, but it does not while one of
  /// them is open.
  json& place(json value) {
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_object()) return *member_ = std::move(value);
    open_.back()->push_back(std::move(value));
    return open_.back()->back();
  }

  json root_;
  std::vector<json*> open_;  // arrays and objects, outermost first
  json* member_ = nullptr;   // awaits its value when the innermost one is an object
  std::string error_;
};

}  // namespace

json parse_json(std::string_view text, std::string_view what) {
  if (const auto offset = find_invalid_utf8(text)) {
    throw invalid_argument(fmt::format("{} is not valid UTF-8 at byte {}", what, *offset));
  }
  Builder builder;
  if (!json::sax_parse(text, &builder)) {
    throw invalid_argument(fmt::format("{} is not valid JSON: {}", what, builder.error()));
  }
  return builder.take();
}

std::string_view type_of(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::object:
      return "an object";
    case json::value_t::array:
      return "an array";
    case json::value_t::string:
      return "a string";
    case json::value_t::boolean:
      return "a boolean";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
    case json::value_t::number_float:
      return "a number";
    case json::value_t::binary:
    case json::value_t::discarded:
      break;
  }
  return "something else";
}

}  // namespace vitrine
