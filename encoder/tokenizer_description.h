#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vitrine::encoder {

/// What a tokenizer.json says, by places such as "/model/type" (JSON pointers). Refuses whatever
/// differs from the one kind of tokenizer that its reader does the work of. Refers to the JSON; the
/// caller keeps it.
class TokenizerDescription {
 public:
  /// supported: that kind, in messages: "only CLIP's tokenizer is supported".
  TokenizerDescription(const nlohmann::json& json, std::string file, std::string supported);

  const nlohmann::json& json() const { return json_; }
  const std::string& file() const { return file_; }

  /// The value at the place, null where there is none.
  const nlohmann::json& at(const std::string& place) const;
  /// Throws InvalidArgument unless this is the value at the place.
  void expect(const std::string& place, const nlohmann::json& wanted) const;
  /// Throws InvalidArgument: "<file>: <place> is <value>; <supported>, with <wanted>".
  [[noreturn]] void fail(const std::string& place, const std::string& wanted) const;

 private:
  const nlohmann::json& json_;
  std::string file_;
  std::string supported_;
};

}  // namespace vitrine::encoder
