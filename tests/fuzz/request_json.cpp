// The JSON body of a request, and the fields that requests have.

#include "http/json.h"

#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  refusable([&] {
    const nlohmann::json body = http::parse_json(input);
    require(http::parse_json(http::dump(body)) == body, "printed JSON does not come back");
    http::FieldReader fields(body, "the request");
    refusable([&] { fields.string("text"); });
    refusable([&] { fields.boolean("exact"); });
    refusable([&] { fields.strings("labels"); });
    refusable([&] { fields.value("query"); });
    refusable([&] {
      const std::optional<int> limit = fields.integer("limit", 1, 1000);
      require(!limit || (*limit >= 1 && *limit <= 1000), "an integer is out of its range");
    });
    fields.finish();
  });
}

}  // namespace vitrine::fuzz
