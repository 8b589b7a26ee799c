#include "index/leading_codes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "index/codes.h"
#include "index/kernels/inner_product.h"
#include "index/large_array.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

constexpr std::size_t kRows = 5000;

LeadingCodes leading_codes_of(const Matrix& vectors) {
  const VectorTable table = one_block(vectors.data(), vectors.rows(), vectors.cols());
  return LeadingCodes(table, CodeTable(table).mean());
}

TEST(LeadingCodes, AreMadeOfVectorsThatVaryAlongFewAxes) {
  EXPECT_FALSE(leading_codes_of(narrow_vectors(kRows, 96, 1)).empty());
  EXPECT_FALSE(leading_codes_of(narrow_vectors(kRows, 512, 1)).empty());
  EXPECT_FALSE(leading_codes_of(narrow_vectors(256, 96, 1)).empty());
  EXPECT_TRUE(leading_codes_of(narrow_vectors(255, 96, 1)).empty());
  EXPECT_TRUE(leading_codes_of(narrow_vectors(kRows, 50, 1)).empty());
  EXPECT_TRUE(leading_codes_of(clustered_vectors(kRows, 96, 1)).empty());
  EXPECT_TRUE(leading_codes_of(clustered_vectors(kRows, 512, 1)).empty());
}

TEST(LeadingCodes, AreNotMadeOfEqualVectors) {
  const Matrix one = narrow_vectors(1, 96, 1);
  Matrix vectors(kRows, 96);
  for (std::size_t i = 0; i < kRows; ++i) std::copy_n(one.data(), 96, vectors.row(i).data());
  EXPECT_TRUE(leading_codes_of(vectors).empty());
}

TEST(LeadingCodes, SayHowFarTheirScoresAreFromTheKernels) {
  for (const std::size_t dimension : {64, 96, 300, 512}) {
    const Matrix vectors = narrow_vectors(kRows, dimension, 1);
    const CodeTable table(one_block(vectors.data(), kRows, dimension));
    const LeadingCodes& leading = table.leading();
    ASSERT_FALSE(leading.empty());
    // Of the same axes, of one half of them, and of all axes there are.
    Matrix queries = narrow_vectors(20, dimension, 2);
    for (std::size_t i = 0; i < dimension; i += 2) queries.row(1)[i] = 0;
    std::ranges::copy(clustered_vectors(1, dimension, 3).row(0), queries.row(2).begin());
    normalise(queries.row(1));
    double error_sum = 0;
    double rough_error_sum = 0;
    double coarse_error_sum = 0;
    double fine_error_sum = 0;
    for (std::size_t query = 0; query < queries.rows(); ++query) {
      QueryCode code;
      table.encode_query(queries.row(query).data(), code);
      const LeadingQuery& own = code.leading;
      std::vector<std::int32_t> high(kRows);
      std::vector<std::int32_t> low(kRows);
      byte_dot_kernel().contiguous(own.high.data(), leading.codes(), kRows, high.data());
      byte_dot_kernel().contiguous(own.low.data(), leading.codes(), kRows, low.data());
      for (std::size_t row = 0; row < kRows; ++row) {
        const float scale = leading.scales()[row];
        const double score = own.score(scale, high[row], low[row]);
        const double rough_score = own.rough_score().of(high[row], scale);
        const double error = own.error(leading.errors()[row], leading.rests()[row]);
        const double rough_error = own.rough_length * scale + own.rough_slack;
        for (const InstructionSet each : supported_instruction_sets()) {
          const double expected = inner_product_kernel(each).pair(
              queries.row(query).data(), vectors.row(row).data(), dimension);
          ASSERT_LE(std::abs(score - expected), error) << dimension << ' ' << query << ' ' << row;
          ASSERT_LE(std::abs(rough_score - expected), rough_error)
              << dimension << ' ' << query << ' ' << row;
        }
        if (query < 3) continue;
        error_sum += error;
        rough_error_sum += rough_error;
      }
      for (const int most_weight : {kMostByteWeight, 127}) {
        const RoundedQuery rounded = leading.round_query(queries.row(query).data(), most_weight);
        for (std::size_t row = 0; row < kRows; ++row) {
          const std::uint8_t* codes = leading.codes() + row * kByteRow;
          const std::uint8_t* others = codes + LeadingCodes::kFirstElements;
          int product = 0;
          for (std::size_t i = 0; i < LeadingCodes::kFirstElements; ++i) {
            product += rounded.weights.weights[i] * (codes[i] - LeadingCodes::kCodeOfZero);
          }
          const double scale = leading.scales()[row];
          const double score = own.base + scale * rounded.weights.step * product;
          const auto length = [&](const std::uint8_t* begin, const std::uint8_t* end) {
            return scale * std::sqrt(std::accumulate(begin, end, 0.0, [](double sum, int byte) {
                     return sum + std::pow(byte - LeadingCodes::kCodeOfZero, 2);
                   }));
          };
          const double rest = std::hypot(leading.rests()[row],
                                         length(others, codes + kByteRow) + leading.errors()[row]);
          const double error = rounded.length * leading.errors()[row] + rounded.rest * rest +
                               rounded.lost * length(codes, others) + rounded.slack;
          const double expected = inner_product_kernel().pair(queries.row(query).data(),
                                                              vectors.row(row).data(), dimension);
          ASSERT_LE(std::abs(score - expected), error) << dimension << ' ' << query << ' ' << row;
          if (query < 3) continue;
          (most_weight == 127 ? fine_error_sum : coarse_error_sum) += error;
        }
      }
    }
    // Loose bounds would be right as well, and of no use.
    const double count = static_cast<double>(kRows * (queries.rows() - 3));
    EXPECT_LE(error_sum / count, 0.02) << dimension;
    EXPECT_LE(rough_error_sum / count, 0.04) << dimension;
    EXPECT_LE(coarse_error_sum / count, 0.03) << dimension;
    EXPECT_LE(fine_error_sum / count, 0.025) << dimension;
  }
}

TEST(LeadingCodes, SayWhichRowsReachABound) {
  const Matrix vectors = narrow_vectors(kRows, 96, 1);
  const CodeTable table(one_block(vectors.data(), kRows, 96));
  const LeadingCodes& leading = table.leading();
  const QueryCode code = table.encode_query(vectors.row(7).data());
  std::vector<std::int32_t> products(kMostReaching);
  byte_dot_kernel().contiguous(code.leading.high.data(), leading.codes(), kMostReaching,
                               products.data());
  for (const float enough : {-1.0F, 0.8F, 0.95F, 0.999F}) {
    const std::uint64_t reaching =
        code_dot_kernel().reaching(code.leading.rough_bound(enough), products.data(),
                                   leading.scales(), leading.scales(), kMostReaching);
    for (std::size_t row = 0; row < kMostReaching; ++row) {
      const float scale = leading.scales()[row];
      const double most = double{code.leading.rough_score().of(products[row], scale)} +
                          double{code.leading.rough_length} * scale + code.leading.rough_slack;
      if (std::abs(most - enough) < 1e-5) continue;  // rounding may tell either
      EXPECT_EQ((reaching >> row & 1) != 0, most > enough) << row;
    }
  }
}

class WrittenLeadingCodes : public testing::Test {
 protected:
  WrittenLeadingCodes() {
    std::string bytes;
    codes_.write_to([&](std::string_view part) { bytes += part; });
    bytes_ = LargeArray<char>(bytes.size());
    std::ranges::copy(bytes, bytes_.data());
  }

  LeadingCodes read(std::size_t size, std::size_t rows) const {
    return LeadingCodes({bytes_.data(), size}, rows, 96, nullptr);
  }

  const Matrix vectors_ = narrow_vectors(kRows, 96, 1);
  const LeadingCodes codes_ = leading_codes_of(vectors_);
  LargeArray<char> bytes_;
};

TEST_F(WrittenLeadingCodes, AreTheSameWhenTheyAreRead) {
  const LeadingCodes read_codes = read(bytes_.size(), kRows);
  EXPECT_TRUE(std::equal(codes_.codes(), codes_.codes() + kRows * kByteRow, read_codes.codes()));
  for (const auto numbers : {&LeadingCodes::scales, &LeadingCodes::errors, &LeadingCodes::rests}) {
    const float* written = (codes_.*numbers)();
    EXPECT_TRUE(std::equal(written, written + kRows, (read_codes.*numbers)()));
  }
  LeadingQuery one;
  LeadingQuery other;
  codes_.encode_query(vectors_.row(3).data(), 0.25F, one);
  read_codes.encode_query(vectors_.row(3).data(), 0.25F, other);
  EXPECT_EQ(one.high, other.high);
  EXPECT_EQ(one.low, other.low);
  EXPECT_EQ(one.slack, other.slack);
  EXPECT_EQ(one.rough_slack, other.rough_slack);
}

TEST_F(WrittenLeadingCodes, MayBeNone) {
  EXPECT_TRUE(read(0, kRows).empty());
  bool written = false;
  LeadingCodes().write_to([&](std::string_view) { written = true; });
  EXPECT_FALSE(written);
}

TEST_F(WrittenLeadingCodes, AndCapsComeLastSoThatAFileWithoutThemIsRead) {
  const CodeTable table(one_block(vectors_.data(), kRows, 96));
  std::string written;
  table.write_to([&](std::string_view part) { written += part; });
  std::size_t caps_bytes = 0;
  table.caps().write_to([&](std::string_view part) { caps_bytes += part.size(); });
  LargeArray<char> copy(written.size());
  std::ranges::copy(written, copy.data());
  const auto read_first = [&](std::size_t size) {
    return CodeTable({copy.data(), size}, kRows, 96, nullptr);
  };
  const CodeTable whole = read_first(written.size());
  EXPECT_FALSE(whole.leading().empty());
  EXPECT_EQ(whole.caps().size(), table.caps().size());
  const CodeTable without_caps = read_first(written.size() - caps_bytes);
  EXPECT_FALSE(without_caps.leading().empty());
  EXPECT_TRUE(without_caps.caps().empty());
  const CodeTable without_both = read_first(written.size() - caps_bytes - bytes_.size());
  EXPECT_TRUE(without_both.leading().empty());
  EXPECT_TRUE(without_both.caps().empty());
  EXPECT_EQ(without_both.encode_query(vectors_.row(0).data()).high,
            table.encode_query(vectors_.row(0).data()).high);
}

TEST(LeadingCodes, AreReadWithoutThePaddingAtTheirEnd) {
  const LeadingCodes odd = leading_codes_of(narrow_vectors(kRows + 1, 96, 1));
  std::string written;
  odd.write_to([&](std::string_view part) { written += part; });
  LargeArray<char> bytes(written.size());
  std::ranges::copy(written, bytes.data());
  const auto read_first = [&](std::size_t size) {
    return LeadingCodes({bytes.data(), size}, kRows + 1, 96, nullptr);
  };
  EXPECT_FALSE(read_first(bytes.size() - kByteRow).empty());
  expect_error(ErrorCode::kCorruption, "do not fit",
               [&] { read_first(bytes.size() - kByteRow - 1); });
}

TEST_F(WrittenLeadingCodes, OfOtherVectorsAreRefused) {
  for (const std::size_t size : {std::size_t{1}, bytes_.size() / 2, bytes_.size() - 1}) {
    expect_error(ErrorCode::kCorruption, "do not fit", [&] { read(size, kRows); });
  }
  expect_error(ErrorCode::kCorruption, "do not fit", [&] { read(bytes_.size(), kRows + 1); });
}

TEST_F(WrittenLeadingCodes, WithNumbersThatAreNoneAreRefused) {
  const std::size_t numbers = kCodeAlignment + kByteRow * 96 * sizeof(float);
  for (const std::size_t at : {std::size_t{0}, std::size_t{4}, std::size_t{8}, kCodeAlignment,
                               numbers, bytes_.size() - kRows * kByteRow - kCodeAlignment}) {
    float kept;
    std::memcpy(&kept, bytes_.data() + at, sizeof(kept));
    for (const float value : {NAN, INFINITY, -1e9F}) {
      std::memcpy(bytes_.data() + at, &value, sizeof(value));
      expect_error(ErrorCode::kCorruption, "not those of unit vectors",
                   [&] { read(bytes_.size(), kRows); });
    }
    std::memcpy(bytes_.data() + at, &kept, sizeof(kept));
  }
  EXPECT_FALSE(read(bytes_.size(), kRows).empty());
}

}  // namespace
}  // namespace vitrine::index
