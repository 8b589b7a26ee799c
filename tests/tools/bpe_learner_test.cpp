#include "tools/bpe_learner.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace vitrine::tools {
namespace {

TEST(BpeLearner, HasClipsAlphabetFirstAndTheMarksLast) {
  const BpeVocabulary vocabulary = learn_bpe({"red", "dress"}, 100);
  EXPECT_EQ(vocabulary.ids.at("!"), 0);
  EXPECT_EQ(vocabulary.ids.at("!</w>"), 256);
  EXPECT_EQ(vocabulary.end_id(), static_cast<int>(vocabulary.ids.size()) - 1);
  EXPECT_EQ(vocabulary.start_id(), vocabulary.end_id() - 1);
  EXPECT_EQ(vocabulary.ids.size(), 512 + vocabulary.merges.size() + 2);
}

TEST(BpeLearner, WritesTheSameFilesForTheSameWords) {
  const TemporaryDirectory first, second;
  learn_bpe({"red", "dress", "dressy"}, 50).save(first.path());
  learn_bpe({"dressy", "dress", "red"}, 50).save(second.path());
  for (const char* name : {"vocab.json", "merges.txt"}) {
    EXPECT_EQ(read_file(first.path() / name, 1 << 20), read_file(second.path() / name, 1 << 20));
  }
  EXPECT_TRUE(read_file(first.path() / "merges.txt", 1 << 20).starts_with("#version"));
}

}  // namespace
}  // namespace vitrine::tools
