#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_set>

#include "storage/catalog_reader.h"

namespace vitrine::storage {

/// Largest record, in bytes of its text: far above the limits of its fields together.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{1024} * 1024;

/// Where every catalog format sends its records: turns JSON objects into products, and holds all
/// of them to the same rules.
class RecordSink {
 public:
  RecordSink(const std::filesystem::path& path, const std::function<void(Product&&)>& on_product,
             const std::function<void(BadRecord&&)>& on_bad, RequiredFields required)
      : file_(path.string()), on_product_(on_product), on_bad_(on_bad), required_(required) {}

  /// place: where in the file, such as "record 7" or "record 7 (line 9)".
  void accept(std::uint64_t record, const std::string& place, nlohmann::json&& value);
  void reject(std::uint64_t record, const std::string& place, const std::string& id,
              const std::string& fault);

  const std::string& file() const { return file_; }
  /// Whether records must have a field.
  bool requires_field(std::string_view field) const;
  /// Accepted and rejected.
  std::uint64_t count() const { return count_; }

 private:
  const std::string file_;
  const std::function<void(Product&&)>& on_product_;
  const std::function<void(BadRecord&&)>& on_bad_;
  const RequiredFields required_;
  std::unordered_set<std::string> ids_;
  std::uint64_t count_ = 0;
};

/// The id of a record as text: a string, or an integer printed; empty for anything else.
std::string id_text(const nlohmann::json& record);

}  // namespace vitrine::storage
