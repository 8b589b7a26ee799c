#include "index/caps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/compute_threads.h"
#include "index/codes.h"
#include "index/kernels/inner_product.h"
#include "index/large_array.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kRows = 6000;
constexpr std::size_t kCols = 96;
constexpr float kLeftOut = -std::numeric_limits<float>::infinity();

CodeTable codes_of(const Matrix& vectors) {
  return CodeTable(one_block(vectors.data(), vectors.rows(), vectors.cols()));
}

/// A byte for each cap.
std::vector<bool> reached_by(const Caps& caps, const LeadingQuery& query, float enough) {
  std::vector<float> cosines(caps.size());
  caps.cosines(query, cosines.data());
  std::vector<std::int32_t> reached(caps.size());
  reached.resize(caps.reached(query, cosines.data(), enough, reached.data()));
  std::vector<bool> is_reached(caps.size());
  for (const std::int32_t cap : reached) is_reached[static_cast<std::size_t>(cap)] = true;
  return is_reached;
}

TEST(Caps, AreMadeOfVectorsThatHaveLeadingCodes) {
  EXPECT_FALSE(codes_of(narrow_vectors(kRows, kCols, 1)).caps().empty());
  EXPECT_TRUE(codes_of(clustered_vectors(kRows, kCols, 1)).caps().empty());
  EXPECT_TRUE(codes_of(narrow_vectors(1000, kCols, 1)).caps().empty());
}

TEST(Caps, HoldEveryVectorOnceByItsLeadingCode) {
  for (const std::size_t rows : {kRows, kRows + 7}) {
    const CodeTable codes = codes_of(narrow_vectors(rows, kCols, 1));
    const Caps& caps = codes.caps();
    const LeadingCodes& leading = codes.leading();
    ASSERT_EQ(caps.begin_of(caps.size()), rows);
    std::vector<int> seen(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      const auto place = static_cast<std::size_t>(caps.places()[i]);
      ++seen.at(place);
      EXPECT_TRUE(std::equal(leading.codes() + place * kByteRow,
                             leading.codes() + (place + 1) * kByteRow,
                             caps.members().codes + i * kByteRow));
      EXPECT_EQ(caps.members().scales[i], leading.scales()[place]);
      EXPECT_EQ(caps.members().errors[i], leading.errors()[place]);
      EXPECT_EQ(caps.members().rests[i], leading.rests()[place]);
    }
    EXPECT_EQ(std::ranges::count(seen, 1), static_cast<std::ptrdiff_t>(rows));
    for (std::size_t cap = 0; cap < caps.size(); ++cap) {
      EXPECT_GT(caps.begin_of(cap + 1), caps.begin_of(cap));
    }
  }
}

TEST(Caps, DoNotDependOnTheNumberOfThreads) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer cannot see how libgomp's threads synchronise";
#endif
  const Matrix vectors = narrow_vectors(kRows, kCols, 1);
  std::string written[2];
  for (const int threads : {1, 3}) {
    set_compute_threads_of_this_thread(threads);
    codes_of(vectors).caps().write_to(
        [&](std::string_view part) { written[threads == 1 ? 0 : 1] += part; });
  }
  set_compute_threads_of_this_thread(1);
  EXPECT_TRUE(written[0] == written[1]);
}

TEST(Caps, RuleOutNoVectorThatScoresEnough) {
  for (const std::size_t cols : {std::size_t{64}, kCols, std::size_t{300}}) {
    Matrix vectors = narrow_vectors(kRows, cols, 1);
    // Lengths may differ from 1 by 1e-3.
    for (std::size_t row = 0; row < kRows; row += 5) {
      for (float& value : vectors.row(row)) value *= row % 2 == 0 ? 1.0009F : 0.9991F;
    }
    const CodeTable codes = codes_of(vectors);
    const Caps& caps = codes.caps();
    ASSERT_FALSE(caps.empty());
    // Of the same axes, far from all, of one half of the columns, of all axes there are, too long,
    // and a vector itself.
    Matrix queries = narrow_vectors(30, cols, 2);
    for (float& value : queries.row(0)) value = -value;
    for (std::size_t i = 0; i < cols; i += 2) queries.row(1)[i] = 0;
    normalise(queries.row(1));
    std::ranges::copy(clustered_vectors(1, cols, 3).row(0), queries.row(2).begin());
    for (float& value : queries.row(3)) value *= 1.0009F;
    for (float& value : queries.row(4)) value *= 0.9991F;
    std::ranges::copy(vectors.row(17), queries.row(5).begin());
    double reached_sum = 0;
    for (std::size_t query = 0; query < queries.rows(); ++query) {
      const LeadingQuery code = codes.encode_query(queries.row(query).data()).leading;
      // What any kernel says at most: of each vector, by its number among the members.
      std::vector<float> scores(kRows, -2);
      for (std::size_t i = 0; i < kRows; ++i) {
        const auto place = static_cast<std::size_t>(caps.places()[i]);
        for (const InstructionSet each : supported_instruction_sets()) {
          scores[i] =
              std::max(scores[i], inner_product_kernel(each).pair(queries.row(query).data(),
                                                                  vectors.row(place).data(), cols));
        }
      }
      std::vector<float> sorted = scores;
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      // Those of some vectors: none may be lost at its own score.
      for (const float enough : {-0.5F, 0.0F, 0.5F, sorted[0], sorted[9], sorted[100], 2.0F}) {
        const std::vector<bool> reached = reached_by(caps, code, enough);
        for (std::size_t cap = 0; cap < caps.size(); ++cap) {
          if (reached[cap]) continue;
          const float best = *std::max_element(
              scores.begin() + static_cast<std::ptrdiff_t>(caps.begin_of(cap)),
              scores.begin() + static_cast<std::ptrdiff_t>(caps.begin_of(cap + 1)));
          ASSERT_LT(best, enough) << cols << ' ' << query;
        }
        if (query > 5 && enough == sorted[9]) {
          reached_sum += static_cast<double>(std::ranges::count(reached, true));
        }
      }
    }
    // Caps that rule out nothing would be right as well, and of no use.
    EXPECT_LE(reached_sum / static_cast<double>(queries.rows() - 6),
              0.45 * static_cast<double>(caps.size()))
        << cols;
  }
}

TEST(Caps, AreNotReachedWhereTheyAreLeftOut) {
  const Matrix vectors = narrow_vectors(kRows, kCols, 1);
  const CodeTable codes = codes_of(vectors);
  const Caps& caps = codes.caps();
  const LeadingQuery query = codes.encode_query(vectors.row(0).data()).leading;
  std::vector<float> cosines(caps.size());
  caps.cosines(query, cosines.data());
  std::vector<std::int32_t> reached(caps.size());
  for (const float enough : {-1.0F, 0.5F}) {
    const std::size_t all = caps.reached(query, cosines.data(), enough, reached.data());
    ASSERT_GE(all, 1U);
    const std::int32_t left_out = reached[0];
    std::vector<float> others = cosines;
    others[static_cast<std::size_t>(left_out)] = kLeftOut;
    EXPECT_EQ(caps.reached(query, others.data(), enough, reached.data()), all - 1);
    EXPECT_EQ(std::find(reached.begin(), reached.begin() + static_cast<std::ptrdiff_t>(all) - 1,
                        left_out),
              reached.begin() + static_cast<std::ptrdiff_t>(all) - 1);
  }
}

TEST(Caps, OfVectorsInAllDirectionsRuleOutNoneThatScoresEnough) {
  // Members lie at about a right angle from a centre near the origin.
  constexpr std::size_t kAxes = 31;
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  Matrix vectors(kRows, kCols);
  for (std::size_t row = 0; row < kRows; ++row) {
    for (std::size_t i = 0; i < kAxes; ++i) vectors.row(row)[i] = normal(random);
    normalise(vectors.row(row));
  }
  const CodeTable codes = codes_of(vectors);
  const Caps& caps = codes.caps();
  ASSERT_FALSE(caps.empty());
  for (std::size_t row = 0; row < 200; ++row) {
    const float* query = vectors.row(row).data();
    const std::vector<bool> reached = reached_by(caps, codes.encode_query(query).leading,
                                                 inner_product_kernel().pair(query, query, kCols));
    bool found = false;
    for (std::size_t cap = 0; cap < caps.size(); ++cap) {
      for (std::size_t i = caps.begin_of(cap); i < caps.begin_of(cap + 1); ++i) {
        if (static_cast<std::size_t>(caps.places()[i]) == row) found = reached[cap];
      }
    }
    EXPECT_TRUE(found) << row;
  }
}

class WrittenCaps : public testing::Test {
 protected:
  WrittenCaps() {
    std::string bytes;
    codes_.caps().write_to([&](std::string_view part) { bytes += part; });
    bytes_ = LargeArray<char>(bytes.size());
    std::ranges::copy(bytes, bytes_.data());
  }

  Caps read(std::size_t size, std::size_t rows) const {
    return Caps({bytes_.data(), size}, rows, kCols, nullptr);
  }

  /// Expects a refusal of what has this value there instead of its own.
  template <class T>
  void expect_refused(std::size_t at, T value, const std::string& part) {
    T kept;
    std::memcpy(&kept, bytes_.data() + at, sizeof(kept));
    std::memcpy(bytes_.data() + at, &value, sizeof(value));
    expect_error(ErrorCode::kCorruption, part, [&] { read(bytes_.size(), kRows); });
    std::memcpy(bytes_.data() + at, &kept, sizeof(kept));
  }

  const Matrix vectors_ = narrow_vectors(kRows, kCols, 1);
  const CodeTable codes_ = codes_of(vectors_);
  LargeArray<char> bytes_;
};

TEST_F(WrittenCaps, AreTheSameWhenTheyAreRead) {
  const Caps caps = read(bytes_.size(), kRows);
  ASSERT_EQ(caps.size(), codes_.caps().size());
  for (std::size_t row = 0; row < 20; ++row) {
    const LeadingQuery query = codes_.encode_query(vectors_.row(row).data()).leading;
    EXPECT_EQ(reached_by(caps, query, 0.9F), reached_by(codes_.caps(), query, 0.9F));
  }
  std::string written;
  caps.write_to([&](std::string_view part) { written += part; });
  EXPECT_TRUE(written == std::string_view(bytes_.data(), bytes_.size()));
}

TEST_F(WrittenCaps, MayBeNone) {
  EXPECT_TRUE(read(0, kRows).empty());
  bool written = false;
  Caps().write_to([&](std::string_view) { written = true; });
  EXPECT_FALSE(written);
}

TEST_F(WrittenCaps, OfOtherVectorsAreRefused) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{16}, bytes_.size() - 1}) {
    expect_error(ErrorCode::kCorruption, "do not fit", [&] { read(size, kRows); });
  }
  expect_error(ErrorCode::kCorruption, "do not fit", [&] { read(bytes_.size(), kRows + 64); });
  for (const std::uint64_t count : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
    expect_refused(0, count, "do not fit");
  }
}

TEST_F(WrittenCaps, WithPlacesOutsideAreRefused) {
  const std::size_t begins = kCodeAlignment;
  for (const std::int32_t begin : {-1, 1, 1 << 30}) expect_refused(begins, begin, "do not fit");
  for (const std::int32_t begin : {-1, 1 << 30}) expect_refused(begins + 8, begin, "do not fit");
  const std::size_t caps = codes_.caps().size();
  const std::size_t places = begins + (caps + 1 + 15) / 16 * 16 * sizeof(std::int32_t);
  for (const std::int32_t place : {-1, static_cast<std::int32_t>(kRows)}) {
    expect_refused(places, place, "do not fit");
    expect_refused(places + (kRows - 1) * sizeof(std::int32_t), place, "do not fit");
  }
}

TEST_F(WrittenCaps, WithNumbersThatAreNoneAreRefused) {
  const std::size_t caps = codes_.caps().size();
  const auto padded = [](std::size_t size) {
    return (size + kCodeAlignment - 1) / kCodeAlignment * kCodeAlignment;
  };
  const std::size_t members = kCodeAlignment + padded((caps + 1) * 4) + padded(kRows * 4);
  const std::size_t centres = members + 3 * padded(kRows * 4) + padded(kRows * kByteRow);
  std::vector<std::size_t> numbers = {8};  // the greatest length
  for (std::size_t i = 0; i < 3; ++i) numbers.push_back(members + i * padded(kRows * 4));
  for (std::size_t i = 0; i < 4; ++i) numbers.push_back(centres + i * padded(caps * 4));
  for (const std::size_t at : numbers) {
    for (const float value : {NAN, INFINITY, -1e9F}) {
      expect_refused(at, value, "not those of unit vectors");
    }
  }
  EXPECT_FALSE(read(bytes_.size(), kRows).empty());
}

}  // namespace
}  // namespace vitrine::index
