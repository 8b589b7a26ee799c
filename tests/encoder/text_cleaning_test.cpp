#include "encoder/text_cleaning.h"

#include <gtest/gtest.h>

namespace vitrine::encoder {
namespace {

TEST(TextCleaning, RepairsCharacters) {
  const std::pair<const char*, const char*> cases[] = {
      {"plain, with\tspaces\n", "plain, with\tspaces\n"},
      {"women\u2019s \u201cboot\u201d \u2018\u201b\u201f", "women's \"boot\" ''\""},
      {"\ufb01t \ufb04 \ufb05 \u0132 \u01c5 \u0149 \u02bc", "fit ffl \u017ft IJ D\u017e 'n '"},
      {"\uff21\uff07\u3000\uff5e\uff76", "A' ~\u30ab"},
      {"a\x01\x0b\x7f\ufeff\u206a\ufffc b", "a b"},
      {"\x1b[31;1mred\x1b[0m \x1b[", "red ["},
      {"it\u0092s \u0080 \u0081", "it's \u20ac \u0081"},
      {"caf\u00e9 \u00c3\u00a9", "caf\u00e9 \u00c3\u00a9"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(repaired(text), wanted) << text;
}

TEST(TextCleaning, ResolvesCharacterReferences) {
  const std::pair<const char*, const char*> cases[] = {
      {"H&amp;M &lt;3 &quot;&apos;&nbsp;", "H&M <3 \"'\u00a0"},
      {"caf&eacute; &euro;5 &rsquo;", "caf\u00e9 \u20ac5 '"},
      {"&#65;&#x42;&#X43 &#39s", "ABC 's"},
      {"&amp;amp; &amp;lt;", "& <"},
      {"&ampM &copy2 &LT;&gt&quot", "&M \u00a92 <>\""},
      {"<b>&amp;&rsquo;", "<b>&\u2019"},  // of HTML they are resolved last
      {"&#0;&#xd800;&#x110000;&#99999999999;", "\ufffd\ufffd\ufffd\ufffd"},
      {"&#146;&#129;&#1;&#xfffe;", "'\u0081"},
      {"R&D & &; &#; &#x; &unknown; &notin; &mdash", "R&D & &; &#; &#x; &unknown; &notin; &mdash"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(repaired(text), wanted) << text;
}

}  // namespace
}  // namespace vitrine::encoder
