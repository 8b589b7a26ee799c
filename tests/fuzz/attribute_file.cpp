// The file of an attribute index: refused, or no query leads out of it.

#include <optional>
#include <string>

#include "engine/filter/attribute_index.h"
#include "engine/filter/filter_json.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  constexpr std::size_t rows = 70;  // more than one word of a bitmap
  refusable([&] {
    const engine::AttributeIndex index =
        engine::AttributeIndex::from_bytes(std::string(input), rows, "the file");
    const auto nobody = [](std::string_view) { return std::optional<std::size_t>(); };
    for (const char* field : {"colour", "price", "size.eu"}) {
      for (const engine::FacetValue& each : index.facet(field, nullptr, {}, 10)) {
        require(each.count <= rows, "a facet counts more rows than there are");
      }
      for (const nlohmann::json& test :
           {nlohmann::json{{"match", {{"any", {"red", 5, 2.5, true}}}}},
            nlohmann::json{{"match", {{"except", {"red", 5, 2.5, true}}}}},
            nlohmann::json{{"range", {{"gte", 5}, {"lt", 60}}}}, nlohmann::json{{"is_null", true}},
            nlohmann::json{{"is_empty", false}}}) {
        nlohmann::json condition = test;
        condition["key"] = field;
        const index::RowSet found =
            index.evaluate(engine::filter_from_json({{"must", {condition}}}), nobody);
        require(found.size() == rows && found.count() <= rows, "a row is not in the generation");
      }
    }
  });
}

}  // namespace vitrine::fuzz
