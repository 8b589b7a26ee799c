#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vitrine::encoder {

/// What a configuration file of a checkpoint may have; published ones have a few kilobytes.
inline constexpr std::uint64_t kMaxConfigBytes = 1 << 20;
/// What a tokenizer file may have; CLIP's have one to four megabytes.
inline constexpr std::uint64_t kMaxTokenizerBytes = 16 << 20;

/// The object that a JSON file holds. Parsed, it takes at most some twenty times the file's size.
/// Throws as read_file and refuse_lfs_pointer do, or Corruption when the file is not JSON, not an
/// object, or nested more deeply than any file of a checkpoint.
nlohmann::json read_json_object(const std::filesystem::path& path, std::uint64_t max_bytes);

/// The fields of one object of a JSON file. Every read leaves the value alone where the field is
/// missing or null, and throws InvalidArgument that names the file and the whole key where it is
/// not what it must be. Refers to the object; the caller keeps it.
class JsonFields {
 public:
  /// prefix: what comes before each key in messages, such as "text_config.".
  JsonFields(const nlohmann::json& object, std::string file, std::string prefix);

  const nlohmann::json& object() const { return object_; }
  /// nullptr: missing or null.
  const nlohmann::json* find(const std::string& key) const;
  /// A count or a number of pixels: an integer in [1, 2^20].
  void read_size(const std::string& key, std::int64_t& value) const;
  /// An integer in [0, 2^30].
  void read_id(const std::string& key, std::int64_t& value) const;
  /// A number in (low, high).
  void read_number(const std::string& key, double low, double high, double& value) const;
  void read_flag(const std::string& key, bool& value) const;

  /// Throws InvalidArgument: "<file>: <key> is <value>; it <wanted>".
  [[noreturn]] void fail(const std::string& key, const std::string& wanted) const;

 private:
  const nlohmann::json& object_;
  std::string file_;
  std::string prefix_;
};

}  // namespace vitrine::encoder
