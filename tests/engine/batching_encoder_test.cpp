#include "engine/batching_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "support.h"

namespace vitrine::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Traffic = BatchingEncoder::Traffic;
using namespace std::chrono_literals;

encoder::TokenizedText text(int number) { return {{number}, false}; }
encoder::Image image(int number) { return {1, 1, {static_cast<std::uint8_t>(number), 0, 0}}; }

/// Remembers what each pass was made of: texts as their number, images as minus theirs. The
/// embedding of an input is that number. A pass can be held.
class PassRecorder : public encoder::Encoder {
 public:
  using Pass = std::vector<int>;

  int dimension() const override { return 1; }
  encoder::TokenizedText tokenize(std::string_view) const override { return {}; }
  Matrix encode_tokenized(std::span<const encoder::TokenizedText> texts) const override {
    Pass pass;
    for (const auto& text : texts) pass.push_back(text.ids.at(0));
    return encode(std::move(pass));
  }
  Matrix encode_images(std::span<const encoder::Image> images) const override {
    Pass pass;
    for (const auto& image : images) pass.push_back(-image.rgb.at(0));
    return encode(std::move(pass));
  }
  /// Two images at a time, each time as a pass.
  void encode_from(encoder::ImageFeed& feed) const override {
    if (const auto pass = std::exchange(next_feed_pass_, {})) return pass(feed);
    encoder::encode_pieces(feed, 2, [this](auto& images) { return encode_images(images); });
  }
  /// Instead of the next encode_from().
  void replace_feed_pass(std::function<void(encoder::ImageFeed&)> pass) {
    next_feed_pass_ = std::move(pass);
  }
  float logit_scale() const override { return 1; }
  const std::string& fingerprint() const override { return fingerprint_; }
  encoder::EncoderInfo info() const override { return {}; }

  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  void wait_for_pass(std::size_t count) const {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, 30s, [&] { return passes_.size() >= count; }));
  }
  std::vector<Pass> passes() const {
    const std::lock_guard lock(mutex_);
    return passes_;
  }
  /// A pass with this number in it fails.
  void fail_on(int number) { poison_ = number; }

 private:
  Matrix encode(Pass pass) const {
    Matrix rows(pass.size(), 1);
    for (std::size_t i = 0; i < pass.size(); ++i) rows.row(i)[0] = static_cast<float>(pass[i]);
    const bool fails = std::ranges::find(pass, poison_.load()) != pass.end();
    std::unique_lock lock(mutex_);
    passes_.push_back(std::move(pass));
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    if (fails) throw internal_error("no luck");
    return rows;
  }

  const std::string fingerprint_;
  mutable std::function<void(encoder::ImageFeed&)> next_feed_pass_;
  std::atomic<int> poison_{1 << 20};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable std::vector<Pass> passes_;  // guarded by mutex_
  bool held_ = false;                 // guarded by mutex_
};

class Batching : public ::testing::Test {
 protected:
  using Rows = std::future<Matrix>;

  void start(const BatchingOptions& options = {}) { batching_.emplace(encoder_, options); }

  Rows texts(std::vector<int> numbers, Traffic traffic = Traffic::kQuery) {
    std::vector<encoder::TokenizedText> inputs;
    for (const int number : numbers) inputs.push_back(text(number));
    return std::async(std::launch::async, [this, inputs, traffic]() mutable {
      return batching_->encode_texts(std::move(inputs), traffic);
    });
  }
  Rows images(std::vector<int> numbers, Traffic traffic = Traffic::kQuery) {
    std::vector<encoder::Image> inputs;
    for (const int number : numbers) inputs.push_back(image(number));
    return std::async(std::launch::async, [this, inputs, traffic]() mutable {
      return batching_->encode_images(std::move(inputs), traffic);
    });
  }
  /// Holds a pass of the text 1, and hence all that comes after it.
  Rows hold_a_pass() {
    encoder_.hold();
    Rows rows = texts({1});
    encoder_.wait_for_pass(1);
    return rows;
  }
  template <typename Condition>
  void wait_until(const Condition& condition) {
    while (!condition(batching_->stats())) std::this_thread::yield();
  }
  void wait_until_waiting(std::size_t count) {
    wait_until([count](const BatchingStats& stats) { return stats.waiting == count; });
  }
  static void expect(Rows& rows, const std::vector<int>& numbers) {
    const Matrix matrix = rows.get();
    ASSERT_EQ(matrix.rows(), numbers.size());
    for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(matrix.row(i)[0], numbers[i]);
  }

  PassRecorder encoder_;
  std::optional<BatchingEncoder> batching_;
};

TEST_F(Batching, ServesALoneCallerAtOnce) {
  start();
  Rows one = texts({7});
  expect(one, {7});
  Rows another = images({8, 9});
  expect(another, {-8, -9});
  EXPECT_THAT(encoder_.passes(), ElementsAre(ElementsAre(7), ElementsAre(-8, -9)));
  Rows nothing = texts({});
  expect(nothing, {});
  EXPECT_EQ(encoder_.passes().size(), 2U);
}

TEST_F(Batching, EncodesTogetherWhatArrivesDuringAPass) {
  start();
  Rows first = hold_a_pass();
  std::vector<Rows> others;
  for (int i = 2; i < 7; ++i) {
    others.push_back(texts({i, 10 * i}));
    wait_until_waiting(static_cast<std::size_t>(2 * (i - 1)));
  }
  encoder_.release();
  expect(first, {1});
  for (int i = 2; i < 7; ++i) expect(others[static_cast<std::size_t>(i - 2)], {i, 10 * i});
  EXPECT_THAT(encoder_.passes(),
              ElementsAre(ElementsAre(1), ElementsAre(2, 20, 3, 30, 4, 40, 5, 50, 6, 60)));
  const BatchingStats stats = batching_->stats();
  EXPECT_EQ(stats.texts, 11U);
  EXPECT_EQ(stats.text_passes, 2U);
  EXPECT_EQ(stats.images, 0U);
  EXPECT_EQ(stats.waiting, 0U);
}

TEST_F(Batching, BoundsAPassAndKeepsTextsAndImagesApart) {
  start({.max_texts = 3, .max_images = 2});
  Rows first = hold_a_pass();
  std::vector<Rows> others;
  others.push_back(images({2}));
  wait_until_waiting(1);
  others.push_back(texts({3}));
  wait_until_waiting(2);
  others.push_back(images({4}));
  wait_until_waiting(3);
  others.push_back(images({5}));
  wait_until_waiting(4);
  others.push_back(texts({6}));
  wait_until_waiting(5);
  encoder_.release();
  for (Rows& rows : others) rows.wait();
  EXPECT_THAT(encoder_.passes(),
              ElementsAre(ElementsAre(1), ElementsAre(-2, -4), ElementsAre(3, 6), ElementsAre(-5)));
}

TEST_F(Batching, ALongListMakesASingleQueryWaitForOnePassOnly) {
  start({.max_texts = 4});
  Rows first = hold_a_pass();
  Rows list = texts({10, 11, 12, 13, 14, 15, 16, 17, 18});
  wait_until_waiting(9);
  Rows single = texts({2});
  wait_until_waiting(10);
  encoder_.release();
  expect(single, {2});
  expect(list, {10, 11, 12, 13, 14, 15, 16, 17, 18});
  EXPECT_THAT(encoder_.passes(), ElementsAre(ElementsAre(1), ElementsAre(10, 11, 12, 13),
                                             ElementsAre(2, 14, 15, 16), ElementsAre(17, 18)));
}

TEST_F(Batching, LetsAQueryOvertakeIndexing) {
  start({.max_texts = 2});
  encoder_.hold();
  Rows list = texts({10, 11, 12, 13}, Traffic::kIndexing);
  encoder_.wait_for_pass(1);
  Rows query = texts({2});
  wait_until_waiting(1);
  encoder_.release();
  expect(query, {2});
  expect(list, {10, 11, 12, 13});
  EXPECT_THAT(encoder_.passes(),
              ElementsAre(ElementsAre(10, 11), ElementsAre(2), ElementsAre(12, 13)));
}

TEST_F(Batching, EndsAPassOfIndexingForAQuery) {
  start({.max_images = 4});
  encoder_.hold();
  Rows list = images({10, 11, 12, 13, 14}, Traffic::kIndexing);
  encoder_.wait_for_pass(1);
  Rows another = images({20, 21, 22}, Traffic::kIndexing);
  Rows query = texts({2});
  wait_until_waiting(1);
  encoder_.release();
  expect(query, {2});
  expect(list, {-10, -11, -12, -13, -14});
  expect(another, {-20, -21, -22});
  const auto passes = encoder_.passes();
  EXPECT_THAT(passes[0], ElementsAre(-10, -11));
  EXPECT_THAT(passes[1], ElementsAre(2));
  const BatchingStats stats = batching_->stats();
  EXPECT_EQ(stats.images, 8U);
  EXPECT_EQ(stats.waiting, 0U);
}

TEST_F(Batching, TakesImagesOfIndexingThatArriveDuringTheirPass) {
  start({.max_images = 2});
  encoder_.hold();
  Rows list = images({10, 11, 12}, Traffic::kIndexing);
  encoder_.wait_for_pass(1);
  Rows one = batching_->submit_images({image(20)}, Traffic::kIndexing);
  Rows more = batching_->submit_images({image(30), image(31)}, Traffic::kIndexing);
  encoder_.release();
  expect(list, {-10, -11, -12});
  expect(one, {-20});
  expect(more, {-30, -31});
  EXPECT_THAT(encoder_.passes(),
              ElementsAre(ElementsAre(-10, -11), ElementsAre(-12, -20), ElementsAre(-30, -31)));
  wait_until([](const BatchingStats& stats) { return stats.image_passes == 1; });
  EXPECT_EQ(batching_->stats().images, 6U);
}

TEST_F(Batching, EndsAPassOfIndexingOnceAThreadHasLeftIt) {
  // Else the threads that are still in it would encode all that comes by themselves.
  start({.max_images = 2});
  Rows more;
  encoder_.replace_feed_pass([&](encoder::ImageFeed& feed) {
    const encoder::ImageFeed::Piece all = feed.take(3);
    EXPECT_EQ(all.images.size(), 3U);
    std::thread([&] { EXPECT_TRUE(feed.take(2).images.empty()); }).join();
    more = batching_->submit_images({image(20), image(21), image(22)}, Traffic::kIndexing);
    EXPECT_TRUE(feed.take(2).images.empty());
    feed.give(all, encoder_.encode_images(all.images));
  });
  Rows list = images({10, 11, 12}, Traffic::kIndexing);
  expect(list, {-10, -11, -12});
  expect(more, {-20, -21, -22});
}

TEST_F(Batching, LetsTextsOfIndexingInterruptItsImagesOnce) {
  start({.max_texts = 1, .max_images = 2});
  encoder_.hold();
  Rows list = images({10, 11, 12, 13, 14, 15, 16}, Traffic::kIndexing);
  encoder_.wait_for_pass(1);
  Rows captions = texts({2, 3}, Traffic::kIndexing);
  wait_until([](const BatchingStats& stats) { return stats.indexing_waiting == 5 + 2; });
  encoder_.release();
  expect(captions, {2, 3});
  expect(list, {-10, -11, -12, -13, -14, -15, -16});
  EXPECT_THAT(encoder_.passes(),
              ElementsAre(ElementsAre(-10, -11), ElementsAre(2), ElementsAre(3),
                          ElementsAre(-12, -13), ElementsAre(-14, -15), ElementsAre(-16)));
}

TEST_F(Batching, FailsOnlyTheRequestsOfIndexingWhoseImagesFailed) {
  start({.max_images = 2});
  encoder_.fail_on(-13);
  encoder_.hold();
  Rows first = images({10, 11}, Traffic::kIndexing);
  encoder_.wait_for_pass(1);
  Rows failing = batching_->submit_images({image(12), image(13), image(14), image(15), image(16)},
                                          Traffic::kIndexing);
  Rows after = batching_->submit_images({image(17)}, Traffic::kIndexing);
  encoder_.release();
  expect(first, {-10, -11});
  const Thrown thrown = thrown_by([&] { failing.get(); });
  EXPECT_EQ(thrown.code, ErrorCode::kInternal);
  EXPECT_EQ(thrown.message, "no luck");
  expect(after, {-17});
  Rows later = images({18, 19, 20}, Traffic::kIndexing);
  expect(later, {-18, -19, -20});
}

TEST_F(Batching, LetsIndexingAdvanceHoweverManyQueriesCome) {
  start({.max_texts = 2});
  std::atomic<bool> indexed = false;
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&] {
      while (!indexed) batching_->encode_texts({text(1)}, Traffic::kQuery);
    });
  }
  encoder_.wait_for_pass(1);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(batching_->encode_images({image(2)}, Traffic::kIndexing).row(0)[0], -2);
  }
  const std::vector<encoder::Image> many(40, image(3));
  EXPECT_EQ(batching_->encode_images(many, Traffic::kIndexing).row(39)[0], -3);
  indexed = true;
  for (std::thread& client : clients) client.join();
}

TEST_F(Batching, RefusesQueriesBeyondItsBound) {
  start({.max_waiting = 3});
  Rows first = hold_a_pass();
  // More than the bound, but nothing else waits.
  Rows list = texts({2, 3, 4, 5});
  wait_until_waiting(4);
  const Thrown thrown = thrown_by([&] { batching_->encode_images({image(6)}, Traffic::kQuery); });
  EXPECT_EQ(thrown.code, ErrorCode::kUnavailable);
  EXPECT_THAT(thrown.message, HasSubstr("4 texts and images wait"));
  EXPECT_EQ(batching_->stats().refused, 1U);
  Rows indexing = texts({7}, Traffic::kIndexing);
  encoder_.release();
  expect(list, {2, 3, 4, 5});
  expect(indexing, {7});
  Rows later = texts({8});
  expect(later, {8});
}

TEST_F(Batching, TellsEveryCallerOfAPassThatItFailed) {
  start({.max_texts = 4});
  encoder_.fail_on(3);
  Rows first = hold_a_pass();
  std::vector<Rows> failing;
  failing.push_back(texts({2}));
  wait_until_waiting(1);
  failing.push_back(texts({3, 4, 5, 6, 7}));  // what is left of it is not tried
  wait_until_waiting(6);
  Rows after = texts({8});
  wait_until_waiting(7);
  encoder_.release();
  expect(first, {1});
  for (Rows& rows : failing) {
    const Thrown thrown = thrown_by([&] { rows.get(); });
    EXPECT_EQ(thrown.code, ErrorCode::kInternal);
    EXPECT_EQ(thrown.message, "no luck");
  }
  expect(after, {8});
  EXPECT_THAT(encoder_.passes(),
              ElementsAre(ElementsAre(1), ElementsAre(2, 3, 4, 5), ElementsAre(8)));
  EXPECT_EQ(batching_->stats().waiting, 0U);
}

TEST_F(Batching, GivesEveryCallerItsOwnRows) {
  start({.max_texts = 5, .max_images = 3});
  std::vector<std::thread> callers;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&, i] {
      const auto traffic = i % 4 == 0 ? Traffic::kIndexing : Traffic::kQuery;
      for (int j = 0; j < 100; ++j) {
        const int count = 1 + (i + j) % 7;
        std::vector<encoder::TokenizedText> lines;
        std::vector<encoder::Image> pictures;
        for (int k = 0; k < count; ++k) {
          lines.push_back(text(100 * i + k));
          pictures.push_back(image(10 * i + k));
        }
        const bool with_texts = (i + j) % 2 == 0;
        const Matrix rows = with_texts ? batching_->encode_texts(std::move(lines), traffic)
                                       : batching_->encode_images(std::move(pictures), traffic);
        for (int k = 0; k < count; ++k) {
          const int expected = with_texts ? 100 * i + k : -(10 * i + k);
          if (rows.row(static_cast<std::size_t>(k))[0] != static_cast<float>(expected)) ++wrong;
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(BatchingFor, TakesNoMoreThanKeepsTheThreadsBusy) {
  const auto options = [](int image_tokens, int text_tokens, int threads, int max_batch = 32) {
    encoder::EncoderInfo info;
    info.image_tokens = image_tokens;
    info.text_tokens = text_tokens;
    info.threads = threads;
    return batching_for(info, max_batch, 7);
  };
  for (const int image_tokens : {0, 50}) {
    const BatchingOptions small = options(image_tokens, 0, 2);
    EXPECT_EQ(small.max_images, 8U);
    EXPECT_EQ(small.max_texts, 32U);
    EXPECT_EQ(small.max_waiting, 7U);
  }
  EXPECT_EQ(options(50, 0, 1).max_images, 8U);
  EXPECT_EQ(options(50, 0, 4).max_images, 16U);
  EXPECT_EQ(options(50, 0, 4, 10).max_images, 10U);
  EXPECT_EQ(options(257, 0, 1).max_images, 1U);
  EXPECT_EQ(options(257, 0, 2).max_images, 2U);
  EXPECT_EQ(options(1000, 0, 64).max_images, 32U);
  const BatchingOptions padded = options(196, 64, 2);
  EXPECT_EQ(padded.max_images, 2U);
  EXPECT_EQ(padded.max_texts, 6U);
}

TEST(FairShare, GivesIndexingOnePartInFive) {
  FairShare share;
  EXPECT_TRUE(share.indexing_is_due());
  share.indexing_ran(10ms);
  EXPECT_FALSE(share.indexing_is_due());
  share.queries_ran(39ms);
  EXPECT_FALSE(share.indexing_is_due());
  share.queries_ran(1ms);
  EXPECT_TRUE(share.indexing_is_due());
}

TEST(FairShare, DoesNotSaveUpWhatIndexingUsedWhileNobodyAsked) {
  FairShare share;
  for (int i = 0; i < 100; ++i) share.indexing_ran(10ms);
  share.queries_ran(40ms);
  EXPECT_TRUE(share.indexing_is_due());
}

}  // namespace
}  // namespace vitrine::engine
