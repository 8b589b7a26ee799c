#include "engine/filter/attribute_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/file.h"
#include "engine/filter/attribute_index_builder.h"
#include "engine/filter/filter_json.h"
#include "engine/filter/matches.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using nlohmann::json;
using storage::Product;

using Random = std::mt19937;

std::size_t below(Random& random, std::size_t bound) {
  return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
}

/// Few distinct values, so that filters hit them, and the awkward ones among them.
json random_scalar(Random& random) {
  switch (below(random, 8)) {
    case 0:
      return below(random, 2) == 1;
    case 1:
      return static_cast<int>(below(random, 7)) - 3;
    case 2:
      return static_cast<double>(below(random, 9)) / 2 - 2;
    case 3:
      return std::to_string(static_cast<int>(below(random, 5)) - 2);
    case 4:
      return 9007199254740992 + static_cast<std::int64_t>(below(random, 3));
    case 5:
      return below(random, 10) == 0 ? std::string(kMaxFilterTextBytes + 1, 'x') : "-1.5";
    default:
      return std::string(1, static_cast<char>('a' + below(random, 5)));
  }
}

json random_attribute(Random& random, int depth) {
  switch (below(random, 8)) {
    case 0:
      return nullptr;
    case 1: {
      json list = json::array();
      for (std::size_t i = below(random, 4); i > 0; --i) {
        list.push_back(below(random, 6) == 0 ? json(nullptr) : random_scalar(random));
      }
      return list;
    }
    case 2: {
      json object = json::object();
      if (depth == 0) return object;
      for (std::size_t i = below(random, 3); i > 0; --i) {
        object[std::string(1, static_cast<char>('a' + below(random, 3)))] =
            random_attribute(random, depth - 1);
      }
      return object;
    }
    default:
      return random_scalar(random);
  }
}

const std::vector<std::string>& paths() {
  static const std::vector<std::string> paths = {"a", "b", "a.b", "a.a.b", "c.a", "unique", "nope"};
  return paths;
}

std::vector<Product> random_products(Random& random, std::size_t count) {
  std::vector<Product> products;
  for (std::size_t i = 0; i < count; ++i) {
    json attributes = json::object();
    for (const char* key : {"a", "b", "c", "a.b"}) {
      if (below(random, 3) > 0) attributes[key] = random_attribute(random, 2);
    }
    attributes["unique"] = "u" + std::to_string(i);
    products.push_back({"p" + std::to_string(i), "p.png", "a product", attributes});
  }
  return products;
}

json random_condition(Random& random, std::size_t products, int depth);

json random_filter(Random& random, std::size_t products, int depth) {
  json filter = json::object();
  for (const char* clause : {"must", "should", "must_not"}) {
    if (below(random, 2) == 0) continue;
    for (std::size_t i = below(random, 3); i > 0; --i) {
      filter[clause].push_back(random_condition(random, products, depth));
    }
  }
  if (below(random, 3) == 0) {
    json conditions = json::array();
    for (std::size_t i = below(random, 6); i > 0; --i) {
      conditions.push_back(random_condition(random, products, depth));
    }
    filter["min_should"] = {{"conditions", conditions}, {"min_count", below(random, 5)}};
  }
  return filter;
}

json random_condition(Random& random, std::size_t products, int depth) {
  const std::string& key = paths()[below(random, paths().size())];
  const auto scalar = [&] {
    json value = below(random, 6) == 0 ? json("u" + std::to_string(below(random, products)))
                                       : random_scalar(random);
    return value.is_string() && value.get<std::string>().size() > 500 ? json("x") : value;
  };
  switch (below(random, depth > 0 ? 8 : 7)) {
    case 0:
      return {{"key", key}, {"match", {{"value", scalar()}}}};
    case 1:
    case 2: {
      json list = json::array();
      for (std::size_t i = below(random, 7); i > 0; --i) list.push_back(scalar());
      return {{"key", key}, {"match", {{below(random, 2) == 0 ? "any" : "except", list}}}};
    }
    case 3:
    case 4: {
      json range = {{"gte", static_cast<double>(below(random, 12)) / 2 - 3}};
      if (below(random, 2) == 0) range = {{"gt", static_cast<int>(below(random, 6)) - 3}};
      if (below(random, 2) == 0) range["lt"] = static_cast<int>(below(random, 6)) - 1;
      if (below(random, 3) == 0) range["lte"] = 2.5;
      return {{"key", key}, {"range", range}};
    }
    case 5:
      return {{"key", key},
              {below(random, 2) == 0 ? "is_empty" : "is_null", below(random, 2) == 1}};
    case 6: {
      json ids = json::array();
      for (std::size_t i = below(random, 5); i > 0; --i) {
        ids.push_back("p" + std::to_string(below(random, products + 2)));
      }
      return {{"has_id", ids}};
    }
    default: {
      json filter = random_filter(random, products, depth - 1);
      if (filter.empty()) filter = {{"must", {{{"has_id", {"p0"}}}}}};
      return filter;
    }
  }
}

std::string bytes_of(const std::vector<Product>& products) {
  AttributeIndexBuilder builder(products.size());
  for (const Product& product : products) builder.add(product.attributes);
  return builder.finish();
}

AttributeIndex index_of(const std::vector<Product>& products) {
  return AttributeIndex::from_bytes(bytes_of(products), products.size(), "test");
}

/// Of the ids that random_products() gives.
std::optional<std::size_t> row_of(std::string_view id, std::size_t rows) {
  const std::size_t row = std::stoul(std::string(id.substr(1)));
  return row < rows ? std::optional(row) : std::nullopt;
}

TEST(AttributeIndex, AllowsExactlyTheProductsThatMatch) {
  Random random(7);
  std::size_t some = 0;  // filters that neither all nor none pass
  for (const std::size_t count : {1, 5, 63, 64, 65, 300, 1000}) {
    const std::vector<Product> products = random_products(random, count);
    const AttributeIndex index = index_of(products);
    for (int i = 0; i < 600; ++i) {
      const json text = random_filter(random, count, 3);
      const Filter filter = filter_from_json(text);
      const index::RowSet rows =
          index.evaluate(filter, [&](std::string_view id) { return row_of(id, count); });
      ASSERT_EQ(rows.size(), count);
      for (std::size_t row = 0; row < count; ++row) {
        ASSERT_EQ(rows.contains(row), matches(filter, products[row]))
            << text.dump() << " on " << products[row].attributes.dump();
      }
      some += rows.count() > 0 && rows.count() < count ? 1U : 0U;
    }
  }
  EXPECT_GT(some, 500U);
}

TEST(AttributeIndex, KnowsTheFieldsThatProductsHave) {
  Random random(11);
  const std::vector<Product> products = random_products(random, 400);
  const AttributeIndex index = index_of(products);
  KnownFields expected;
  for (const Product& product : products) expected.add(product.attributes);
  for (const std::string& path : paths()) {
    const FieldTypes* known = index.known_fields().find(path);
    ASSERT_EQ(known != nullptr, expected.find(path) != nullptr) << path;
    if (known == nullptr) continue;
    EXPECT_EQ(*known, *expected.find(path)) << path;
  }
}

TEST(AttributeIndex, CountsTheValuesOfAllowedRowsAndOfNewerProducts) {
  Random random(13);
  const std::vector<Product> products = random_products(random, 700);
  const std::vector<Product> newer = random_products(random, 40);
  std::vector<const Product*> newer_pointers;
  for (const Product& product : newer) newer_pointers.push_back(&product);
  const AttributeIndex index = index_of(products);
  index::RowSet allowed(products.size());
  for (std::size_t row = 0; row < products.size(); row += 1 + below(random, 3)) allowed.insert(row);

  for (const std::string& path : paths()) {
    std::map<AttributeValue, std::size_t> counts;
    const auto count = [&](const Product& product) {
      std::map<AttributeValue, std::size_t> own;
      for_each_at(product.attributes, path, [&](const json& value) {
        for_each_scalar(value, [&](const AttributeValue& scalar) { own[scalar] = 1; });
      });
      for (const auto& [value, one] : own) {
        if (value != AttributeValue(std::string(kMaxFilterTextBytes + 1, 'x'))) ++counts[value];
      }
    };
    for (std::size_t row = 0; row < products.size(); ++row) {
      if (allowed.contains(row)) count(products[row]);
    }
    for (const Product& product : newer) count(product);
    std::vector<FacetValue> expected;
    for (const auto& [value, times] : counts) expected.push_back({value, times});
    std::ranges::stable_sort(expected, std::greater<>(), &FacetValue::count);
    EXPECT_EQ(index.facet(path, &allowed, newer_pointers, 10000), expected) << path;
    expected.resize(std::min<std::size_t>(expected.size(), 3));
    EXPECT_EQ(index.facet(path, &allowed, newer_pointers, 3), expected) << path;
  }
  const std::vector<FacetValue> all = index.facet("unique", nullptr, {}, 10000);
  EXPECT_EQ(all.size(), products.size());
}

TEST(AttributeIndex, TakesSoManyFieldsAndNoMore) {
  json attributes = json::object();
  for (std::size_t i = 0; i < kMaxFields + 10; ++i) attributes["k" + std::to_string(i)] = 1;
  AttributeIndexBuilder builder(2);
  builder.add({{"first", 1}});
  builder.add(attributes);
  const AttributeIndex index = AttributeIndex::from_bytes(builder.finish(), 2, "test");
  EXPECT_NE(index.known_fields().find("first"), nullptr);
  const Filter filter =
      filter_from_json({{"must", {{{"key", "k999"}, {"match", {{"value", 1}}}}}}});
  const Thrown thrown = thrown_by([&] { index.known_fields().check(filter, "shop"); });
  EXPECT_THAT(thrown.message, ::testing::HasSubstr("the first 1024 fields can be used"));
}

TEST(AttributeIndex, IsTheSameFromAFile) {
  Random random(17);
  const std::vector<Product> products = random_products(random, 100);
  const TemporaryDirectory folder;
  write_file_atomically(folder.path() / "attributes", bytes_of(products));
  const AttributeIndex index = AttributeIndex::open(folder.path() / "attributes", 100);
  const Filter filter = filter_from_json({{"must", {{{"key", "a"}, {"range", {{"gte", 0}}}}}}});
  const auto nothing = [](std::string_view) { return std::optional<std::size_t>(); };
  EXPECT_EQ(index.evaluate(filter, nothing), index_of(products).evaluate(filter, nothing));
  EXPECT_EQ(thrown_by([&] { AttributeIndex::open(folder.path() / "attributes", 101); }).code,
            ErrorCode::kCorruption);
}

/// Whatever a damaged file holds, it is refused, or every query stays within it.
TEST(AttributeIndex, SurvivesDamage) {
  Random random(19);
  const std::vector<Product> products = random_products(random, 130);
  const std::string bytes = bytes_of(products);
  const auto try_out = [&](std::string damaged) {
    try {
      const AttributeIndex index =
          AttributeIndex::from_bytes(std::move(damaged), products.size(), "test");
      for (const std::string& path : paths()) {
        index.facet(path, nullptr, {}, 5);
        for (const json& condition :
             {json{{"key", path}, {"match", {{"except", {"a", 1, true}}}}},
              json{{"key", path}, {"range", {{"gte", -2}}}}, json{{"key", path}, {"is_null", true}},
              json{{"key", path}, {"match", {{"value", "u7"}}}}}) {
          index.evaluate(filter_from_json({{"must", {condition}}}),
                         [](std::string_view) { return std::nullopt; });
        }
      }
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruption) << error.what();
      return false;
    }
  };
  EXPECT_TRUE(try_out(bytes));
  EXPECT_FALSE(try_out(""));
  EXPECT_FALSE(try_out(bytes + std::string(8, '\0')));
  for (int i = 0; i < 200; ++i) {
    EXPECT_FALSE(try_out(bytes.substr(0, below(random, bytes.size())))) << i;
  }
  std::size_t refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = bytes;
    damaged[below(random, damaged.size())] ^= static_cast<char>(1 << below(random, 8));
    refused += try_out(std::move(damaged)) ? 0U : 1U;
  }
  EXPECT_GT(refused, 500U);
  for (int i = 0; i < 500; ++i) {
    std::string damaged = bytes;
    const std::size_t at = below(random, damaged.size() / 8) * 8;
    for (std::size_t k = at; k < at + 8; ++k) damaged[k] = static_cast<char>(0xff);
    try_out(std::move(damaged));
  }
}

}  // namespace
}  // namespace vitrine::engine
