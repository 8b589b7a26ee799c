// The image of a JSON request: base64 or a data URL.

#include "http/base64.h"

#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  refusable([&] {
    const std::string bytes = http::decode_base64(input);
    require(http::encode_base64(bytes) == input, "base64 is not what its bytes encode to");
  });
  refusable([&] {
    require(!http::decode_image_text(input, "\"image\"").empty(), "an image has no bytes");
  });
  require(http::decode_base64(http::encode_base64(input)) == input, "bytes do not come back");
}

}  // namespace vitrine::fuzz
