#include "engine/filter/attribute_index_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/filter/attribute_file.h"
#include "engine/filter/attribute_value.h"
#include "engine/filter/known_fields.h"
#include "engine/filter/postings.h"

namespace vitrine::engine {
namespace {

using attribute_file::kAlignment;
using attribute_file::kStates;

static_assert(std::endian::native == std::endian::little, "the file is mapped as it is");

class Writer {
 public:
  void array(const void* data, std::size_t bytes) {
    bytes_.append(static_cast<const char*>(data), bytes);
    bytes_.resize((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
  }
  template <class T>
  void array(const std::vector<T>& values) {
    array(values.data(), values.size() * sizeof(T));
  }
  void number(std::uint64_t value) { array(&value, sizeof value); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// (value, row) as they came: rows ascend.
using Occurrences = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

/// order: [values], which of the occurrences' values comes first, second, ...
void write_postings(const Occurrences& occurrences, const std::vector<std::uint32_t>& order,
                    std::size_t rows, Writer& writer) {
  // Rows of each value, side by side.
  std::vector<std::uint64_t> begins(order.size() + 1, 0);
  for (const auto& [value, row] : occurrences) ++begins[value + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<std::uint32_t> sorted(occurrences.size());
  std::vector<std::uint64_t> ends(begins.begin(), begins.end() - 1);
  for (const auto& [value, row] : occurrences) {
    // A list of a product may hold one value twice.
    if (ends[value] > begins[value] && sorted[ends[value] - 1] == row) continue;
    sorted[ends[value]++] = row;
  }

  const std::size_t bitmap_length = Postings::bitmap_length(rows);
  std::vector<std::uint64_t> starts = {0};
  std::vector<std::uint32_t> pool;
  for (const std::uint32_t value : order) {
    const auto first = sorted.begin() + static_cast<std::ptrdiff_t>(begins[value]);
    const auto last = sorted.begin() + static_cast<std::ptrdiff_t>(ends[value]);
    if (static_cast<std::size_t>(last - first) < bitmap_length) {
      pool.insert(pool.end(), first, last);
    } else {
      pool.resize(pool.size() + bitmap_length, 0);
      std::uint32_t* bitmap = pool.data() + pool.size() - bitmap_length;
      std::for_each(first, last,
                    [&](std::uint32_t row) { bitmap[row / 32] |= std::uint32_t{1} << row % 32; });
    }
    starts.push_back(pool.size());
  }
  writer.array(starts);
  writer.array(pool);
}

/// For values that are their own numbers.
void write_postings(const Occurrences& occurrences, std::size_t values, std::size_t rows,
                    Writer& writer) {
  std::vector<std::uint32_t> order(values);
  std::iota(order.begin(), order.end(), 0);
  write_postings(occurrences, order, rows, writer);
}

/// The distinct values of a field, numbered as they come.
template <class Value>
class Dictionary {
 public:
  void add(const Value& value, std::uint32_t row) {
    const auto number = static_cast<std::uint32_t>(numbers_.size());
    occurrences_.emplace_back(numbers_.emplace(value, number).first->second, row);
  }

  void write(std::size_t rows, Writer& writer) const {
    std::vector<std::pair<const Value*, std::uint32_t>> sorted;
    sorted.reserve(numbers_.size());
    for (const auto& [value, number] : numbers_) sorted.emplace_back(&value, number);
    std::ranges::sort(sorted, [](const auto& a, const auto& b) { return *a.first < *b.first; });
    writer.number(sorted.size());
    write_values(sorted, writer);
    std::vector<std::uint32_t> order;
    order.reserve(sorted.size());
    for (const auto& [value, number] : sorted) order.push_back(number);
    write_postings(occurrences_, order, rows, writer);
  }

 private:
  using Sorted = std::vector<std::pair<const Value*, std::uint32_t>>;

  static void write_values(const Sorted& sorted, Writer& writer) {
    if constexpr (std::is_same_v<Value, std::string>) {
      std::vector<std::uint64_t> offsets = {0};
      std::string bytes;
      for (const auto& [text, number] : sorted) {
        bytes += *text;
        offsets.push_back(bytes.size());
      }
      writer.array(offsets);
      writer.array(bytes.data(), bytes.size());
    } else {
      std::vector<Value> values;
      for (const auto& [value, number] : sorted) values.push_back(*value);
      writer.array(values);
    }
  }

  std::unordered_map<Value, std::uint32_t> numbers_;
  Occurrences occurrences_;
};

}  // namespace

struct AttributeIndexBuilder::Field {
  bool object = false;
  Occurrences states;
  Occurrences booleans;
  Dictionary<std::string> texts;
  Dictionary<std::int64_t> integers;
  Dictionary<double> reals;
  Dictionary<double> text_numbers;

  void add(const nlohmann::json& value, std::uint32_t row) {
    if (value.is_null()) {
      states.emplace_back(attribute_file::kNull, row);
    } else if (!value.is_array() || !value.empty()) {
      states.emplace_back(attribute_file::kPresent, row);
    }
    object = object || value.is_object();
    for_each_scalar(value, [&](const AttributeValue& scalar) { add(scalar, row); });
  }

 private:
  void add(const AttributeValue& value, std::uint32_t row) {
    if (const auto* boolean = std::get_if<bool>(&value)) {
      booleans.emplace_back(*boolean ? 1 : 0, row);
    } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      integers.add(*integer, row);
    } else if (const auto* real = std::get_if<double>(&value)) {
      reals.add(*real, row);
    } else {
      const auto& text = std::get<std::string>(value);
      if (text.size() > kMaxFilterTextBytes) {
        states.emplace_back(attribute_file::kLongText, row);
        return;
      }
      texts.add(text, row);
      if (const std::optional<double> number = range_number(value)) text_numbers.add(*number, row);
    }
  }
};

AttributeIndexBuilder::AttributeIndexBuilder(std::size_t rows) : rows_(rows) {
  if (rows > std::numeric_limits<std::uint32_t>::max()) {
    throw resource_exhausted(fmt::format("{} products are too many for one catalog", rows));
  }
}

AttributeIndexBuilder::~AttributeIndexBuilder() = default;

void AttributeIndexBuilder::add(const nlohmann::json& attributes) {
  if (added_ == rows_) throw internal_error("more attributes than rows");
  const auto row = static_cast<std::uint32_t>(added_++);
  for_each_field(attributes, [&](const std::string& path, const nlohmann::json& value) {
    auto found = fields_.find(path);
    if (found == fields_.end()) {
      if (fields_.size() >= kMaxFields) return;
      found = fields_.emplace(path, std::make_unique<Field>()).first;
    }
    found->second->add(value, row);
  });
}

std::string AttributeIndexBuilder::finish() {
  if (added_ != rows_) throw internal_error("fewer attributes than rows");
  Writer writer;
  writer.array(attribute_file::kMagic.data(), attribute_file::kMagic.size());
  writer.number(rows_);
  writer.number(fields_.size());
  for (auto& [name, field] : fields_) {
    writer.number(name.size());
    writer.array(name.data(), name.size());
    writer.number(field->object ? 1 : 0);
    write_postings(field->states, kStates, rows_, writer);
    write_postings(field->booleans, 2, rows_, writer);
    field->texts.write(rows_, writer);
    field->integers.write(rows_, writer);
    field->reals.write(rows_, writer);
    field->text_numbers.write(rows_, writer);
    field.reset();  // it may be large
  }
  return writer.take();
}

}  // namespace vitrine::engine
