#include "encoder/cpu/teamwork.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace vitrine::encoder::cpu {
namespace {

using std::chrono::milliseconds;

/// The next batches: 't' for one taken together, after which `waited` is said of 10 ms, 'a' for one
/// that one thread takes.
std::string next_batches(Teamwork& teamwork, int count, milliseconds waited, int threads = 2) {
  std::string batches;
  for (int i = 0; i < count; ++i) {
    const bool together = teamwork.next_together();
    batches += together ? 't' : 'a';
    if (together) teamwork.judge(milliseconds(10), waited, threads);
  }
  return batches;
}

TEST(Teamwork, TakesBatchesTogetherAsLongAsNobodyWaitsForLong) {
  Teamwork teamwork;
  EXPECT_EQ(next_batches(teamwork, 5, milliseconds(0)), "ttttt");
  EXPECT_EQ(next_batches(teamwork, 5, milliseconds(4)), "ttttt");
}

TEST(Teamwork, ForgivesABatchNowAndThen) {
  Teamwork teamwork;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(next_batches(teamwork, 1, milliseconds(9)), "t");
    EXPECT_EQ(next_batches(teamwork, 2, milliseconds(0)), "tt");
  }
}

TEST(Teamwork, SaysBeforehandWhetherTheNextBatchIsForOneThread) {
  Teamwork teamwork;
  std::string foretold, batches;
  for (int i = 0; i < 20; ++i) {
    foretold += teamwork.is_hindered() ? 'a' : 't';
    batches += next_batches(teamwork, 1, milliseconds(9));
  }
  EXPECT_EQ(foretold, batches);
  EXPECT_NE(batches.find('a'), std::string::npos);
}

TEST(Teamwork, TriesAgainEverMoreSeldomWhileCoresAreTaken) {
  Teamwork teamwork;
  EXPECT_EQ(next_batches(teamwork, 16, milliseconds(9)), "ttataataaaataaaa");
  // At last every 65th.
  next_batches(teamwork, 200, milliseconds(9));
  const std::string later = next_batches(teamwork, 65 * 4, milliseconds(9));
  EXPECT_EQ(std::ranges::count(later, 't'), 4);
}

TEST(Teamwork, TakesBatchesTogetherAgainOnceCoresAreFree) {
  Teamwork teamwork;
  next_batches(teamwork, 7, milliseconds(9));  // the next four are for one thread
  EXPECT_EQ(next_batches(teamwork, 8, milliseconds(0)), "aaaatttt");
  // And forgets: after some good ones a bad one is the first again.
  EXPECT_EQ(next_batches(teamwork, 1, milliseconds(9)), "t");
  EXPECT_EQ(next_batches(teamwork, 3, milliseconds(0)), "ttt");
}

TEST(Teamwork, CountsTheWaitingOfAllThreads) {
  // One of four that is late lets three wait.
  Teamwork four;
  EXPECT_EQ(next_batches(four, 3, milliseconds(14), 4), "ttt");
  EXPECT_EQ(next_batches(four, 3, milliseconds(16), 4), "tta");
}

}  // namespace
}  // namespace vitrine::encoder::cpu
