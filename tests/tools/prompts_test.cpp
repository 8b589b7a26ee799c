#include "tools/prompts.h"

#include <gtest/gtest.h>

#include "tools/garment_look.h"

namespace vitrine::tools {
namespace {

TEST(Prompts, CaptionsAsAShopWould) {
  EXPECT_EQ(caption({3, 3, kStriped}), "a red striped dress");
  EXPECT_EQ(caption({9, 4, kPlain}), "an orange ankle boot");
  EXPECT_EQ(caption({1, 7, kPlain}), "blue trousers");
}

TEST(Prompts, ATextMatchesEveryProductThatHasWhatItNames) {
  EXPECT_TRUE(matches({kUnnamed, 3, kUnnamed}, {5, 3, kDotted}));
  EXPECT_TRUE(matches({}, {5, 3, kDotted}));
  EXPECT_FALSE(matches({5, 4, kUnnamed}, {5, 3, kDotted}));
}

TEST(Prompts, LeaveNoPlaceholderAndNoDoubleSpace) {
  Random random(5);
  for (int i = 0; i < 3000; ++i) {
    Attributes named{random.below(11) - 1, random.below(13) - 1, random.below(5) - 1};
    const std::string text = draw_prompt(named, random);
    EXPECT_EQ(text.find_first_of("{}"), std::string::npos) << text;
    EXPECT_EQ(text.find("  "), std::string::npos) << text;
    EXPECT_FALSE(text.empty());
  }
}

}  // namespace
}  // namespace vitrine::tools
