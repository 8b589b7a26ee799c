#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "http/message.h"

namespace vitrine::http {

/// A request's JSON text, bounded as base/json.h says. Throws InvalidArgument, saying where.
nlohmann::json parse_json(std::string_view text);

/// The same for a request's body, whose Content-Type must be application/json; otherwise throws
/// HttpError 415.
nlohmann::json parse_json_body(const Request& request);

/// For requests that say all in their path. Throws InvalidArgument for a body that has fields.
/// where: what the request is, for messages, such as "the merge request".
void require_no_fields(const Request& request, const std::string& where);

/// Compact JSON; never throws for malformed UTF-8, which becomes U+FFFD.
std::string dump(const nlohmann::json& value);

/// The double that prints as the float does: 0.1f as 0.1, not as 0.10000000149011612.
double shortest(float value);

/// The integer that a JSON value is; as in JSON Schema, 10.0 is one. Nothing for other values, for
/// those beyond int64 and, of those written with a fraction or an exponent, beyond 2^53.
std::optional<std::int64_t> integer_of(const nlohmann::json& value);

Response json_response(const nlohmann::json& body, int status = 200);

/// Takes the fields of a JSON object one by one and then complains about those nobody took. Every
/// error is InvalidArgument, names the field and says what would be right. null counts as absent.
class FieldReader {
 public:
  /// where: what the object is, for messages, such as "the request". Throws unless it is an object.
  FieldReader(nlohmann::json object, std::string where);

  bool has(const std::string& name) const;
  std::optional<std::string> string(const std::string& name);
  std::optional<bool> boolean(const std::string& name);
  /// In [low, high].
  std::optional<int> integer(const std::string& name, int low, int high);
  /// Any number that a float can hold.
  std::optional<float> number(const std::string& name);
  std::optional<std::vector<std::string>> strings(const std::string& name);
  /// Any value.
  std::optional<nlohmann::json> value(const std::string& name);
  /// Names every field that no method above was asked for, and those that were.
  void finish() const;

 private:
  nlohmann::json* take(const std::string& name);
  [[noreturn]] void wrong_type(const std::string& name, const nlohmann::json& found,
                               std::string_view wanted) const;

  nlohmann::json object_;
  std::string where_;
  std::set<std::string> known_;
};

}  // namespace vitrine::http
