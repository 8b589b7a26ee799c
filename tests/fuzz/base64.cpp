// The image of a JSON request: base64 or a data URL.

#include "base/base64.h"

#include "http/image_text.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  refusable([&] {
    const std::string bytes = decode_base64(input);
    require(encode_base64(bytes) == input, "base64 is not what its bytes encode to");
  });
  refusable([&] {
    require(!http::decode_image_text(input, "\"image\"").empty(), "an image has no bytes");
  });
  require(decode_base64(encode_base64(input)) == input, "bytes do not come back");
}

}  // namespace vitrine::fuzz
