// A filter, and products that it lets through or not: what the attribute index says of all of them
// at once must be what matches() says of each.

#include "engine/filter/filter_json.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/filter/attribute_index.h"
#include "engine/filter/attribute_index_builder.h"
#include "engine/filter/matches.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {
namespace {

constexpr std::size_t kMostProducts = 80;  // more than one word of a bitmap

/// One product a line, its attributes.
std::vector<storage::Product> products_of(std::string_view lines) {
  std::vector<storage::Product> products;
  while (!lines.empty() && products.size() < kMostProducts) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    storage::Product product;
    product.id = std::to_string(products.size());
    product.attributes = parse_json(lines.substr(0, end), "a product");
    if (!product.attributes.is_object()) throw invalid_argument("attributes are an object");
    products.push_back(std::move(product));
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  return products;
}

std::set<std::string> fields_of(const std::vector<storage::Product>& products) {
  std::set<std::string> fields;
  for (const storage::Product& product : products) {
    engine::for_each_field(product.attributes, [&](const std::string& path, const auto&) {
      if (path.size() <= engine::kMaxFieldPathBytes) fields.insert(path);
    });
  }
  return fields;
}

}  // namespace

void run(std::string_view input) {
  auto files = split_files(input);
  refusable([&] {
    const engine::Filter filter =
        engine::filter_from_json(parse_json(files["filter"], "the filter"));
    const std::vector<storage::Product> products = products_of(files["products"]);
    const std::set<std::string> fields = fields_of(products);
    if (fields.size() > engine::kMaxFields) return;  // the others are not in the index

    engine::AttributeIndexBuilder builder(products.size());
    for (const storage::Product& product : products) builder.add(product.attributes);
    const engine::AttributeIndex index =
        engine::AttributeIndex::from_bytes(builder.finish(), products.size(), "the index");
    const auto row_of = [&](std::string_view id) -> std::optional<std::size_t> {
      const auto found = std::ranges::find(products, id, &storage::Product::id);
      if (found == products.end()) return std::nullopt;
      return static_cast<std::size_t>(found - products.begin());
    };
    const index::RowSet rows = index.evaluate(filter, row_of);
    for (std::size_t row = 0; row < products.size(); ++row) {
      require(rows.contains(row) == engine::matches(filter, products[row]),
              "the index and matches() do not agree");
    }
    for (const std::string& field : fields) {
      for (const engine::FacetValue& each : index.facet(field, &rows, {}, 10)) {
        require(each.count >= 1 && each.count <= rows.count(), "a facet counts too many or none");
      }
    }
    index.known_fields().check(filter, "fuzz");
  });
}

}  // namespace vitrine::fuzz
