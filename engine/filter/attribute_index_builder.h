#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace vitrine::engine {

/// Makes the bytes of an AttributeIndex. Takes one row after another; not thread-safe.
/// Memory until finish(): 8 bytes for each value of each row, and each distinct value once.
class AttributeIndexBuilder {
 public:
  /// rows: how many will be added, at most 2^32 - 1; throws ResourceExhausted beyond.
  explicit AttributeIndexBuilder(std::size_t rows);
  ~AttributeIndexBuilder();
  AttributeIndexBuilder(const AttributeIndexBuilder&) = delete;
  AttributeIndexBuilder& operator=(const AttributeIndexBuilder&) = delete;

  /// The attributes of the next row.
  void add(const nlohmann::json& attributes);
  /// The last call, with every row added. The same rows give the same bytes.
  std::string finish();

 private:
  struct Field;

  const std::size_t rows_;
  std::size_t added_ = 0;
  std::map<std::string, std::unique_ptr<Field>> fields_;
};

}  // namespace vitrine::engine
