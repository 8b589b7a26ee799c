#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <set>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "config/config.h"
#include "config/settings.h"

namespace vitrine::config {
namespace {

constexpr std::uint64_t kMaxFileBytes = 1 << 20;

std::set<std::string> known_keys() {
  std::set<std::string> keys;
  Config config;
  visit_settings(config, [&](const char* key, auto&) { keys.insert(key); });
  return keys;
}

std::string variable_of(std::string key) {
  std::replace(key.begin(), key.end(), '.', '_');
  std::transform(key.begin(), key.end(), key.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return "VITRINE_" + key;
}

/// Insertions, deletions and replacements that turn one word into the other.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

/// "; did you mean X?" for the nearest of the names, or nothing when none is near.
std::string suggestion(const std::string& name, const std::vector<std::string>& names) {
  if (name.size() > 64) {
    return "";
  }
  std::string nearest;
  std::size_t best = 4;
  for (const std::string& candidate : names) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

void assign(std::string& field, const std::string& text) { field = text; }

void assign(int& field, const std::string& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    throw invalid_argument("\"" + printable(text) + "\" is not an integer");
  }
  field = value;
}

void assign(bool& field, const std::string& text) {
  if (text != "true" && text != "false") {
    throw invalid_argument("\"" + printable(text) + "\" is neither true nor false");
  }
  field = text == "true";
}

/// Sets the key from text. False when there is no such key.
bool set_from_text(Config& config, const std::string& wanted, const std::string& text) {
  bool found = false;
  visit_settings(config, [&](const char* key, auto& field) {
    if (key == wanted) {
      found = true;
      assign(field, text);
    }
  });
  return found;
}

void assign(bool& field, const toml::node& node) {
  const auto value = node.value_exact<bool>();
  if (!value) {
    throw invalid_argument("must be true or false");
  }
  field = *value;
}

void assign(std::string& field, const toml::node& node) {
  const auto value = node.value_exact<std::string>();
  if (!value) {
    throw invalid_argument("must be a string, such as \"text\"");
  }
  field = *value;
}

void assign(int& field, const toml::node& node) {
  const auto value = node.value_exact<std::int64_t>();
  if (!value) {
    throw invalid_argument("must be an integer");
  }
  if (*value < std::numeric_limits<int>::min() || *value > std::numeric_limits<int>::max()) {
    throw invalid_argument("is " + std::to_string(*value) + ", which is out of range");
  }
  field = static_cast<int>(*value);
}

std::string at(const std::string& file, const toml::source_region& region) {
  return file + ":" + std::to_string(region.begin.line) + ": ";
}

void apply_file(Config& config, const std::filesystem::path& path) {
  const std::string name = printable(path.string(), 1000);
  toml::table root;
  try {
    root = toml::parse(read_file(path, kMaxFileBytes), path.string());
  } catch (const toml::parse_error& error) {
    throw invalid_argument(at(name, error.source()) + std::string(error.description()));
  }
  const std::set<std::string> known = known_keys();
  const std::vector<std::string> names(known.begin(), known.end());
  for (const auto& [section_key, section_node] : root) {
    const std::string section(section_key.str());
    const toml::table* table = section_node.as_table();
    if (table == nullptr) {
      throw invalid_argument(at(name, section_node.source()) + "unknown key " + printable(section) +
                             "; every key stands in a [section]");
    }
    if (std::none_of(names.begin(), names.end(),
                     [&](const std::string& key) { return key.starts_with(section + "."); })) {
      throw invalid_argument(at(name, section_node.source()) + "unknown section [" +
                             printable(section) + "]; config/vitrine.toml lists all of them");
    }
    for (const auto& [inner_key, node] : *table) {
      const std::string key = section + "." + std::string(inner_key.str());
      if (known.count(key) == 0) {
        throw invalid_argument(at(name, node.source()) + "unknown key " + printable(key) +
                               suggestion(key, names));
      }
      // Each value is checked alone as well, so that the message can name its line.
      Config alone;
      const auto set = [&, &value = node](const char* candidate, auto& field) {
        if (key == candidate) {
          assign(field, value);
        }
      };
      try {
        visit_settings(alone, set);
      } catch (const Error& error) {
        throw invalid_argument(at(name, node.source()) + key + " " + error.what());
      }
      try {
        alone.validate_sections();
      } catch (const Error& error) {
        throw invalid_argument(at(name, node.source()) + error.what());
      }
      visit_settings(config, set);
    }
  }
}

void apply_environment(Config& config, const Environment& environment) {
  std::map<std::string, std::string> key_of;
  std::vector<std::string> names{kFileVariable};
  for (const std::string& key : known_keys()) {
    key_of[variable_of(key)] = key;
    names.push_back(variable_of(key));
  }
  for (const auto& [variable, value] : environment) {
    if (variable == kFileVariable) {
      continue;
    }
    const auto found = key_of.find(variable);
    if (found == key_of.end()) {
      throw invalid_argument("unknown environment variable " + printable(variable) +
                             suggestion(variable, names));
    }
    if (const auto reason = why_invalid(found->second, value)) {
      throw invalid_argument("environment variable " + variable + ": " + *reason);
    }
    set_from_text(config, found->second, value);
  }
}

}  // namespace

std::optional<std::string> why_invalid(const std::string& key, const std::string& value) {
  Config config;
  try {
    if (!set_from_text(config, key, value)) {
      return "unknown key " + key;
    }
  } catch (const Error& error) {
    return key + ": " + error.what();
  }
  try {
    config.validate_sections();
  } catch (const Error& error) {
    return error.what();
  }
  return std::nullopt;
}

Environment process_environment() {
  Environment variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (text.starts_with("VITRINE_") && equals != std::string_view::npos) {
      variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return variables;
}

Config load_config(const std::optional<std::filesystem::path>& file, const Environment& environment,
                   std::span<const Override> flags) {
  Config config;
  if (file) {
    apply_file(config, *file);
  }
  apply_environment(config, environment);
  for (const Override& flag : flags) {
    if (const auto reason = why_invalid(flag.key, flag.value)) {
      throw invalid_argument(flag.flag + ": " + *reason);
    }
    set_from_text(config, flag.key, flag.value);
  }
  config.validate();
  return config;
}

}  // namespace vitrine::config
