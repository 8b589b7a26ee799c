// A request's target: split, and decoded segment by segment.

#include "http/url.h"

#include "base/text.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  refusable([&] {
    const http::Target target = http::parse_target(input);
    require(target.path.starts_with('/'), "a path does not begin with a slash");
    const std::string decoded = http::percent_decode(target.path);
    require(!find_invalid_utf8(decoded), "a path is not UTF-8");
    require(http::percent_decode(http::percent_encode(decoded)) == decoded,
            "an escaped path does not come back");
  });
}

}  // namespace vitrine::fuzz
