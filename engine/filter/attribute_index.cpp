#include "engine/filter/attribute_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "engine/filter/attribute_file.h"

namespace vitrine::engine {
namespace {

using attribute_file::kAlignment;
using attribute_file::kLongText;
using attribute_file::kNull;
using attribute_file::kPresent;
using index::RowSet;

/// Counts, for every row, how many of some sets it is in: bit b of the counts is plane b.
class RowCounter {
 public:
  explicit RowCounter(std::size_t rows) : rows_(rows) {}

  void add(const RowSet& set) {
    for (std::size_t word = 0; word < set.words().size(); ++word) {
      std::uint64_t carry = set.words()[word];
      for (std::size_t plane = 0; carry != 0; ++plane) {
        if (plane == planes_.size()) planes_.emplace_back(set.words().size(), 0);
        const std::uint64_t old = planes_[plane][word];
        planes_[plane][word] = old ^ carry;
        carry &= old;
      }
    }
  }

  RowSet at_least(std::size_t count) const {
    RowSet result(rows_);
    const bool reachable = count >> planes_.size() == 0;
    for (std::size_t word = 0; reachable && word < result.words().size(); ++word) {
      // Compares from the lowest bit on: a higher bit that differs decides anew.
      std::uint64_t enough = ~std::uint64_t{0};
      for (std::size_t plane = 0; plane < planes_.size(); ++plane) {
        const std::uint64_t bits = planes_[plane][word];
        enough = (count >> plane & 1) != 0 ? bits & enough : bits | enough;
      }
      result.set_word(word, enough);
    }
    return result;
  }

 private:
  const std::size_t rows_;
  std::vector<std::vector<std::uint64_t>> planes_;
};

RowSet all_rows(std::size_t rows) {
  RowSet all(rows);
  all.invert();
  return all;
}

template <class Value>
std::optional<std::size_t> find_value(std::span<const Value> values, Value value) {
  const auto found = std::ranges::lower_bound(values, value);
  if (found == values.end() || value < *found) return std::nullopt;
  return static_cast<std::size_t>(found - values.begin());
}

/// Adds the rows of every value but those listed, which ascend.
void add_all_but(const Postings& postings, const std::vector<std::size_t>& listed, RowSet& rows) {
  auto next = listed.begin();
  for (std::size_t value = 0; value < postings.size(); ++value) {
    if (next != listed.end() && *next == value) {
      ++next;
    } else {
      postings.add_to(value, rows);
    }
  }
}

/// Adds the rows of the values in the range. values: ascending.
template <class Number>
void add_range(std::span<const Number> values, const Postings& postings,
               const RangeCondition& range, RowSet& rows) {
  const auto number = [](Number value) { return static_cast<double>(value); };
  const auto first = std::ranges::partition_point(values, [&](Number value) {
    return (range.gt && number(value) <= *range.gt) || (range.gte && number(value) < *range.gte);
  });
  const auto last = std::partition_point(first, values.end(), [&](Number value) {
    return (!range.lt || number(value) < *range.lt) && (!range.lte || number(value) <= *range.lte);
  });
  for (auto value = first; value != last; ++value) {
    postings.add_to(static_cast<std::size_t>(value - values.begin()), rows);
  }
}

}  // namespace

/// Reads the file front to back; every length is checked before it is believed.
class AttributeIndex::Loader {
 public:
  Loader(std::string_view bytes, std::size_t rows, std::string name)
      : rest_(bytes), rows_(rows), name_(std::move(name)) {}

  void load(AttributeIndex& index) {
    if (text(attribute_file::kMagic.size()) != attribute_file::kMagic) {
      fail("it is no attribute index of this version");
    }
    if (number() != rows_) fail("it is over another number of rows");
    const std::uint64_t fields = number();
    if (fields > kMaxFields) fail("it has too many fields");
    std::string_view previous;
    for (std::uint64_t i = 0; i < fields; ++i) {
      const std::string_view name = text(number());
      if (name <= previous || name.size() > kMaxFieldPathBytes) fail("its fields have bad names");
      previous = name;
      FieldTypes types;
      types.object = number() != 0;
      const Field field = load_field();
      types.text = field.texts.size() > 0 || field.states.count(kLongText, nullptr) > 0;
      types.number = !field.integers.values.empty() || !field.reals.values.empty();
      types.boolean = field.booleans.count(0, nullptr) > 0 || field.booleans.count(1, nullptr) > 0;
      types.range = types.number || !field.text_numbers.values.empty();
      index.known_.add(std::string(name), types);
      index.fields_.emplace(name, field);
    }
    if (!rest_.empty()) fail("bytes follow its end");
  }

 private:
  [[noreturn]] void fail(std::string_view reason) const {
    throw corruption(fmt::format("{} is damaged: {}; reindex the catalog", name_, reason));
  }

  template <class T>
  std::span<const T> array(std::uint64_t count) {
    if (count > rest_.size() / sizeof(T)) fail("it is cut");
    const std::size_t bytes = count * sizeof(T);
    const std::size_t padded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (padded > rest_.size()) fail("it is cut");
    // Aligned: mapped files and allocations begin at a multiple of 16, arrays at one of 8.
    const auto* first = reinterpret_cast<const T*>(rest_.data());
    rest_.remove_prefix(padded);
    return {first, static_cast<std::size_t>(count)};
  }

  std::string_view text(std::uint64_t bytes) {
    const std::span<const char> characters = array<char>(bytes);
    return {characters.data(), characters.size()};
  }

  std::uint64_t number() { return array<std::uint64_t>(1).front(); }

  Postings postings(std::uint64_t values) {
    if (values >= rest_.size()) fail("it is cut");
    const auto starts = array<std::uint64_t>(values + 1);
    const Postings result(starts, array<std::uint32_t>(starts.back()), rows_);
    if (!result.valid()) fail("its rows are not in order");
    return result;
  }

  Field load_field() {
    Field field;
    field.states = postings(attribute_file::kStates);
    field.booleans = postings(2);
    field.texts = texts();
    field.integers = numbers<std::int64_t>();
    field.reals = numbers<double>();
    field.text_numbers = numbers<double>();
    return field;
  }

  Texts texts() {
    const std::uint64_t count = number();
    if (count >= rest_.size()) fail("it is cut");
    Texts texts;
    texts.offsets = array<std::uint64_t>(count + 1);
    if (texts.offsets.front() != 0 || !std::ranges::is_sorted(texts.offsets)) {
      fail("its texts are not in order");
    }
    texts.bytes = text(texts.offsets.back());
    for (std::size_t i = 1; i < texts.size(); ++i) {
      if (texts.at(i) <= texts.at(i - 1)) fail("its texts are not in order");
    }
    texts.rows = postings(count);
    return texts;
  }

  template <class Number>
  Numbers<Number> numbers() {
    const std::uint64_t count = number();
    Numbers<Number> numbers;
    numbers.values = array<Number>(count);
    for (std::size_t i = 0; i < numbers.values.size(); ++i) {
      // Not "<=": no comparison accepts NaN.
      if (i > 0 && !(numbers.values[i - 1] < numbers.values[i]))
        fail("its numbers are not in order");
      if (!std::isfinite(static_cast<double>(numbers.values[i]))) fail("a number is not finite");
    }
    numbers.rows = postings(count);
    return numbers;
  }

  std::string_view rest_;
  const std::size_t rows_;
  const std::string name_;
};

AttributeIndex AttributeIndex::open(const std::filesystem::path& file, std::size_t rows) {
  auto map = std::make_shared<const MappedFile>(file);
  AttributeIndex index;
  index.rows_ = rows;
  Loader(map->bytes(), rows, file.string()).load(index);
  index.owner_ = std::move(map);
  return index;
}

AttributeIndex AttributeIndex::from_bytes(std::string bytes, std::size_t rows,
                                          const std::string& name) {
  // Aligned as Loader needs it, which a short std::string is not.
  const auto words = std::make_shared<std::vector<std::uint64_t>>(
      (bytes.size() + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t));
  if (!bytes.empty()) std::memcpy(words->data(), bytes.data(), bytes.size());
  const std::size_t size = std::exchange(bytes, {}).size();
  AttributeIndex index;
  index.rows_ = rows;
  Loader({reinterpret_cast<const char*>(words->data()), size}, rows, name).load(index);
  index.owner_ = words;
  return index;
}

std::optional<std::size_t> AttributeIndex::Texts::find(std::string_view text) const {
  std::size_t low = 0;
  std::size_t high = size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (at(middle) < text) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == size() || at(low) != text) return std::nullopt;
  return low;
}

const AttributeIndex::Field* AttributeIndex::find(std::string_view path) const {
  const auto found = fields_.find(path);
  return found == fields_.end() ? nullptr : &found->second;
}

using RowOf = std::function<std::optional<std::size_t>(std::string_view id)>;

class AttributeIndex::Evaluation {
 public:
  Evaluation(const AttributeIndex& index, const RowOf& row_of) : index_(index), row_of_(row_of) {}

  RowSet rows(const Filter& filter) const {
    RowSet result = all_rows(index_.rows());
    for (const Condition& condition : filter.must) result &= rows(condition);
    if (!filter.should.empty()) {
      RowSet any(index_.rows());
      for (const Condition& condition : filter.should) any |= rows(condition);
      result &= any;
    }
    if (!filter.must_not.empty()) {
      RowSet any(index_.rows());
      for (const Condition& condition : filter.must_not) any |= rows(condition);
      any.invert();
      result &= any;
    }
    if (filter.min_count > 0) {
      RowCounter counter(index_.rows());
      for (const Condition& condition : filter.min_should) counter.add(rows(condition));
      result &= counter.at_least(filter.min_count);
    }
    return result;
  }

  RowSet operator()(const MatchCondition& match) const {
    RowSet result(index_.rows());
    const Field* field = index_.find(match.key);
    if (field == nullptr) return result;
    // Positions of the listed values that the field has. They ascend, as the values do.
    std::vector<std::size_t> booleans, integers, reals, texts;
    const auto note = [](std::vector<std::size_t>& list, std::optional<std::size_t> position) {
      if (position) list.push_back(*position);
    };
    for (const AttributeValue& value : match.values) {
      if (const auto* boolean = std::get_if<bool>(&value)) {
        booleans.push_back(*boolean ? 1 : 0);
      } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
        note(integers, find_value(field->integers.values, *integer));
      } else if (const auto* real = std::get_if<double>(&value)) {
        note(reals, find_value(field->reals.values, *real));
      } else {
        note(texts, field->texts.find(std::get<std::string>(value)));
      }
    }
    const auto add = [&](const Postings& postings, const std::vector<std::size_t>& listed) {
      if (match.except) {
        add_all_but(postings, listed, result);
      } else {
        for (const std::size_t value : listed) postings.add_to(value, result);
      }
    };
    add(field->booleans, booleans);
    add(field->integers.rows, integers);
    add(field->reals.rows, reals);
    add(field->texts.rows, texts);
    if (match.except) field->states.add_to(kLongText, result);
    return result;
  }

  RowSet operator()(const RangeCondition& range) const {
    RowSet result(index_.rows());
    const Field* field = index_.find(range.key);
    if (field == nullptr) return result;
    add_range(field->integers.values, field->integers.rows, range, result);
    add_range(field->reals.values, field->reals.rows, range, result);
    add_range(field->text_numbers.values, field->text_numbers.rows, range, result);
    return result;
  }

  RowSet operator()(const EmptyCondition& condition) const {
    RowSet present = state(condition.key, kPresent);
    if (condition.wanted) present.invert();
    return present;
  }

  RowSet operator()(const NullCondition& condition) const {
    RowSet null = state(condition.key, kNull);
    if (!condition.wanted) null.invert();
    return null;
  }

  RowSet operator()(const IdCondition& condition) const {
    RowSet result(index_.rows());
    for (const std::string& id : condition.ids) {
      const std::optional<std::size_t> row = row_of_(id);
      if (row && *row < index_.rows()) result.insert(*row);
    }
    return result;
  }

  RowSet operator()(const std::unique_ptr<const Filter>& filter) const { return rows(*filter); }

 private:
  RowSet rows(const Condition& condition) const { return std::visit(*this, condition.test); }

  RowSet state(const std::string& key, attribute_file::State state) const {
    RowSet result(index_.rows());
    if (const Field* field = index_.find(key)) field->states.add_to(state, result);
    return result;
  }

  const AttributeIndex& index_;
  const RowOf& row_of_;
};

RowSet AttributeIndex::evaluate(const Filter& filter, const RowOf& row_of) const {
  return Evaluation(*this, row_of).rows(filter);
}

std::vector<FacetValue> AttributeIndex::facet(std::string_view path, const RowSet* allowed,
                                              std::span<const storage::Product* const> newer,
                                              std::size_t limit) const {
  std::map<AttributeValue, std::size_t> newer_counts;
  for (const storage::Product* product : newer) {
    std::vector<AttributeValue> values;
    for_each_at(product->attributes, path, [&](const nlohmann::json& value) {
      for_each_scalar(value, [&](const AttributeValue& scalar) { values.push_back(scalar); });
    });
    std::ranges::sort(values);
    values.erase(std::unique(values.begin(), values.end()), values.end());
    for (const AttributeValue& value : values) {
      const auto* text = std::get_if<std::string>(&value);
      if (text == nullptr || text->size() <= kMaxFilterTextBytes) ++newer_counts[value];
    }
  }

  // Only the best `limit` are ever held: a field can have as many values as there are products.
  std::vector<FacetValue> best;  // a heap with the worst in front
  const auto before = [](const FacetValue& a, const FacetValue& b) {
    return a.count != b.count ? a.count > b.count : a.value < b.value;
  };
  const auto offer = [&](FacetValue candidate) {
    if (best.size() == limit) {
      if (limit == 0 || !before(candidate, best.front())) return;
      std::ranges::pop_heap(best, before);
      best.pop_back();
    }
    best.push_back(std::move(candidate));
    std::ranges::push_heap(best, before);
  };
  const auto offer_all = [&](const Postings& postings, const auto& value_at) {
    for (std::size_t i = 0; i < postings.size(); ++i) {
      const std::size_t count = postings.count(i, allowed);
      if (count == 0) continue;
      if (newer_counts.empty() && best.size() == limit &&
          (limit == 0 || count < best.front().count)) {
        continue;
      }
      FacetValue candidate{value_at(i), count};
      if (const auto more = newer_counts.find(candidate.value); more != newer_counts.end()) {
        candidate.count += more->second;
        newer_counts.erase(more);
      }
      offer(std::move(candidate));
    }
  };
  if (const Field* field = find(path)) {
    offer_all(field->booleans, [](std::size_t i) { return AttributeValue(i == 1); });
    offer_all(field->integers.rows,
              [&](std::size_t i) { return AttributeValue(field->integers.values[i]); });
    offer_all(field->reals.rows,
              [&](std::size_t i) { return AttributeValue(field->reals.values[i]); });
    offer_all(field->texts.rows,
              [&](std::size_t i) { return AttributeValue(std::string(field->texts.at(i))); });
  }
  for (const auto& [value, count] : newer_counts) offer({value, count});
  std::ranges::sort(best, before);
  return best;
}

}  // namespace vitrine::engine
