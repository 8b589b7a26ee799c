#include "base/base64.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "base/error.h"

namespace vitrine {
namespace {

TEST(Base64, AgreesWithTheRfcsExamples) {
  const std::pair<const char*, const char*> examples[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : examples) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text), bytes);
  }
}

TEST(Base64, GivesEveryByteBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
}

TEST(Base64, RefusesWhatIsNotBase64) {
  for (const char* text : {"Zg", "Zg=", "Z===", "=", "====", "Zg==Zg==", "Zm9v\n", "Zm 9", "Zm9-",
                           "Zm9_", "Zh==", "Zm9=", "\xff\xff\xff\xff"}) {
    EXPECT_THAT([&] { decode_base64(text); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("not base64")))
        << text;
  }
}

}  // namespace
}  // namespace vitrine
