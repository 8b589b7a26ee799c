#include "engine/filter/matches.h"

#include <algorithm>

namespace vitrine::engine {
namespace {

using nlohmann::json;
using storage::Product;

/// Whether a scalar of the field satisfies the predicate.
template <class Predicate>
bool any_value(const Product& product, const std::string& key, Predicate predicate) {
  bool found = false;
  for_each_at(product.attributes, key, [&](const json& value) {
    for_each_scalar(value,
                    [&](const AttributeValue& scalar) { found = found || predicate(scalar); });
  });
  return found;
}

struct Tester {
  const Product& product;

  bool operator()(const MatchCondition& match) const {
    return any_value(product, match.key, [&](const AttributeValue& value) {
      return std::ranges::binary_search(match.values, value) != match.except;
    });
  }

  bool operator()(const RangeCondition& range) const {
    return any_value(product, range.key, [&](const AttributeValue& value) {
      const std::optional<double> number = range_number(value);
      return number && range.contains(*number);
    });
  }

  bool operator()(const EmptyCondition& condition) const {
    bool empty = true;
    for_each_at(product.attributes, condition.key, [&](const json& value) {
      empty = empty && (value.is_null() || (value.is_array() && value.empty()));
    });
    return empty == condition.wanted;
  }

  bool operator()(const NullCondition& condition) const {
    bool null = false;
    for_each_at(product.attributes, condition.key,
                [&](const json& value) { null = null || value.is_null(); });
    return null == condition.wanted;
  }

  bool operator()(const IdCondition& condition) const {
    return std::ranges::binary_search(condition.ids, product.id);
  }

  bool operator()(const std::unique_ptr<const Filter>& filter) const {
    return matches(*filter, product);
  }
};

}  // namespace

bool matches(const Filter& filter, const Product& product) {
  const auto passes = [&](const Condition& condition) {
    return std::visit(Tester{product}, condition.test);
  };
  if (!std::ranges::all_of(filter.must, passes)) return false;
  if (!filter.should.empty() && !std::ranges::any_of(filter.should, passes)) return false;
  if (std::ranges::any_of(filter.must_not, passes)) return false;
  return filter.min_count == 0 || static_cast<std::size_t>(std::ranges::count_if(
                                      filter.min_should, passes)) >= filter.min_count;
}

}  // namespace vitrine::engine
