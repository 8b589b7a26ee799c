#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/filter/filter.h"
#include "engine/filter/known_fields.h"
#include "engine/filter/postings.h"
#include "index/row_set.h"
#include "storage/product.h"

namespace vitrine::engine {

/// The file of an attribute index in a generation's folder.
inline constexpr const char* kAttributesFile = "attributes";

/// How many products have a value.
struct FacetValue {
  AttributeValue value;
  std::size_t count = 0;

  bool operator==(const FacetValue&) const = default;
};

/// The attributes of all products of a generation, by field and value: which rows pass a filter,
/// and how many rows have each value. Immutable; every method may be called from many threads at
/// once. It is the bytes that AttributeIndexBuilder makes, used where they lie: of a mapped file
/// the system keeps in memory what is in use.
class AttributeIndex {
 public:
  /// Checks every number in the file, so that no query leads out of it. Throws Corruption when it
  /// is damaged or not over `rows` rows, and what MappedFile throws.
  static AttributeIndex open(const std::filesystem::path& file, std::size_t rows);
  /// The same for bytes in memory. name: what they are, for messages.
  static AttributeIndex from_bytes(std::string bytes, std::size_t rows, const std::string& name);

  AttributeIndex(AttributeIndex&&) noexcept = default;
  AttributeIndex& operator=(AttributeIndex&&) noexcept = default;

  std::size_t rows() const { return rows_; }
  /// What KnownFields::check() checks a filter against.
  const KnownFields& known_fields() const { return known_; }

  /// The rows that pass, exactly those whose product matches(). row_of: the row of a product id,
  /// or nothing. A field that the index does not have is absent from every row.
  index::RowSet evaluate(
      const Filter& filter,
      const std::function<std::optional<std::size_t>(std::string_view id)>& row_of) const;

  /// The `limit` most frequent values of a field among the allowed rows (null: all) and the
  /// products in `newer`, most frequent first, equal counts by value. Texts longer than
  /// kMaxFilterTextBytes are not counted.
  std::vector<FacetValue> facet(std::string_view path, const index::RowSet* allowed,
                                std::span<const storage::Product* const> newer,
                                std::size_t limit) const;

 private:
  /// Values ascending, and the rows of each.
  struct Texts {
    std::span<const std::uint64_t> offsets;  // [size + 1] into bytes
    std::string_view bytes;
    Postings rows;

    std::size_t size() const { return offsets.size() - 1; }
    std::string_view at(std::size_t i) const {
      return bytes.substr(offsets[i], offsets[i + 1] - offsets[i]);
    }
    std::optional<std::size_t> find(std::string_view text) const;
  };
  template <class Number>
  struct Numbers {
    std::span<const Number> values;
    Postings rows;
  };
  struct Field {
    Postings states;    // of kPresent, kNull, kLongText
    Postings booleans;  // of false and true
    Texts texts;
    Numbers<std::int64_t> integers;
    Numbers<double> reals;
    Numbers<double> text_numbers;  // of texts that are numbers, for ranges only
  };
  class Evaluation;
  class Loader;

  AttributeIndex() = default;
  const Field* find(std::string_view path) const;

  std::shared_ptr<const void> owner_;  // of the bytes that all else looks into
  std::size_t rows_ = 0;
  std::map<std::string_view, Field> fields_;
  KnownFields known_;
};

}  // namespace vitrine::engine
