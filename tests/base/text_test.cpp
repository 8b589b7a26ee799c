#include "base/text.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

TEST(Text, AcceptsWellFormedUtf8) {
  EXPECT_FALSE(find_invalid_utf8("plain"));
  EXPECT_FALSE(find_invalid_utf8("robe \xc3\xa9t\xc3\xa9 \xf0\x9f\x91\x97"));
  EXPECT_FALSE(find_invalid_utf8(std::string_view("\0", 1)));
}

TEST(Text, FindsTheFirstMalformedByte) {
  EXPECT_EQ(find_invalid_utf8("ab\xff"), 2U);
  EXPECT_EQ(find_invalid_utf8("\xc0\xaf"), 0U) << "overlong";
  EXPECT_EQ(find_invalid_utf8("a\xed\xa0\x80"), 1U) << "surrogate";
  EXPECT_EQ(find_invalid_utf8("abc\xe2\x82"), 3U) << "cut short";
}

TEST(Text, MakesHostileTextPrintable) {
  EXPECT_EQ(printable("a\nb\x1b[31m\xff"), "a\\x0ab\\x1b[31m\\xff");
  EXPECT_EQ(printable("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace vitrine
