// A multipart/form-data request: the first line is its Content-Type, the rest its body.

#include "http/multipart.h"

#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  const std::size_t line_end = std::min(input.find('\n'), input.size());
  const std::string_view content_type = input.substr(0, line_end);
  const std::string_view body = input.substr(std::min(line_end + 1, input.size()));
  refusable([&] {
    const auto parts = http::parse_multipart(content_type, body);
    require(parts.size() <= http::kMaxFormParts, "a form has too many parts");
    for (const http::FormPart& part : parts) {
      require(!part.name.empty(), "a part has no name");
      require(part.content.size() < body.size(), "a part is larger than the body");
    }
  });
}

}  // namespace vitrine::fuzz
