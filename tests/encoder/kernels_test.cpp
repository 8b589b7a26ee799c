#include "encoder/cpu/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <span>
#include <tuple>

#include "encoder/cpu/product_rows.h"

namespace vitrine::encoder::cpu {
namespace {

float from_bf16(BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

std::vector<float> random_floats(std::size_t n, float scale = 1.0F) {
  static std::mt19937 random(11);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

template <typename Value>
ProductRows<Value> product_rows(const std::vector<Value>& values, int rows, std::size_t columns,
                                bool tiles) {
  ProductRows<Value> out(rows, static_cast<int>(columns), tiles);
  for (int row = 0; row < rows; ++row) {
    out.write(row, std::span(values).subspan(static_cast<std::size_t>(row) * columns, columns));
  }
  return out;
}

/// Every set that this CPU has; each is compared with float64, so that all agree with each other.
class Kernel : public testing::TestWithParam<KernelSet> {
 protected:
  const Kernels& k() const { return kernels(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Sets, Kernel, testing::ValuesIn(supported_kernel_sets()),
                         [](const auto& set) { return std::string(to_string(set.param)); });

TEST_P(Kernel, MultipliesFloats) {
  for (const int rows : {1, 5, 12, 13, 47, 48}) {
    for (const int depth : {1, 7, 64, 100, 300}) {
      constexpr int kCols = 2 * kPanelColumns;
      const std::size_t a_stride = static_cast<std::size_t>(depth) + 3;
      const std::vector<float> a = random_floats(static_cast<std::size_t>(rows) * a_stride);
      const std::vector<float> b = random_floats(static_cast<std::size_t>(depth) * kCols);
      std::vector<float> c(static_cast<std::size_t>(rows) * kCols, NAN);
      k().multiply(a.data(), a_stride, rows, b.data(), kCols, kCols, depth, c.data(), kCols,
                   rows % 2 == 0 ? a.data() : nullptr);  // what is fetched ahead changes nothing
      for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
        for (std::size_t col = 0; col < kCols; ++col) {
          double sum = 0;
          for (std::size_t i = 0; i < static_cast<std::size_t>(depth); ++i) {
            sum += double{a[r * a_stride + i]} * b[i * kCols + col];
          }
          ASSERT_NEAR(c[r * kCols + col], sum, 1e-4) << rows << " rows, depth " << depth;
        }
      }
    }
  }
}

TEST_P(Kernel, MultipliesBFloat16AndWritesNothingElse) {
  // The deepest is more than any set of kernels takes in one piece.
  for (const auto& [rows, panel_count, depth] : {std::tuple{1, 3, 96},
                                                 {2, 2, 96},
                                                 {15, 3, 96},
                                                 {16, 1, 96},
                                                 {17, 1, 96},
                                                 {32, 1, 96},
                                                 {33, 1, 96},
                                                 {48, 1, 96},
                                                 {50, 2, 64},
                                                 {133, 1, 160},
                                                 {20, 2, 1056}}) {
    const auto row_count = static_cast<std::size_t>(rows);
    const auto inputs = static_cast<std::size_t>(depth);
    const std::vector<float> a_floats = random_floats(row_count * inputs);
    const std::vector<float> b_floats =
        random_floats(static_cast<std::size_t>(panel_count) * inputs * kPanelColumns);
    std::vector<BFloat16> a(a_floats.size());
    k().to_bf16(a_floats.data(), a.size(), a.data());
    std::vector<BFloat16> panels(b_floats.size());
    for (int p = 0; p < panel_count; ++p) {
      const std::size_t first = static_cast<std::size_t>(p) * inputs * kPanelColumns;
      k().interleave_bf16(b_floats.data() + first, depth / 2, panels.data() + first);
    }
    const std::size_t sums = static_cast<std::size_t>(panel_count) * row_count * kPanelColumns;
    std::vector<float> c(sums + 16, 77.0F);
    const ProductRows<BFloat16> x = product_rows(a, rows, inputs, k().tiles);
    k().multiply_bf16(x.row(0), x.layout(), rows, panels.data(), panel_count, depth, c.data(),
                      panels.data(), 5);
    if (k().tiles) {
      std::vector<float> of_rows(sums);
      k().multiply_bf16(a.data(), row_major<BFloat16>(inputs), rows, panels.data(), panel_count,
                        depth, of_rows.data(), panels.data(), 5);
      EXPECT_TRUE(std::ranges::equal(of_rows, std::span(c).first(sums))) << rows << " rows";
    }
    for (std::size_t p = 0; p < static_cast<std::size_t>(panel_count); ++p) {
      for (std::size_t r = 0; r < row_count; ++r) {
        for (std::size_t col = 0; col < kPanelColumns; ++col) {
          double sum = 0;
          for (std::size_t i = 0; i < inputs; ++i) {
            BFloat16 b = 0;
            k().to_bf16(&b_floats[(p * inputs + i) * kPanelColumns + col], 1, &b);
            sum += double{from_bf16(a[r * inputs + i])} * from_bf16(b);
          }
          ASSERT_NEAR(c[(p * row_count + r) * kPanelColumns + col], sum, 1e-3)
              << rows << " rows, " << panel_count << " panels, depth " << depth;
        }
      }
    }
    EXPECT_TRUE(std::all_of(c.begin() + static_cast<std::ptrdiff_t>(sums), c.end(),
                            [](float value) { return value == 77.0F; }));
  }
}

TEST_P(Kernel, MultipliesBytesExactlyAndWritesNothingElse) {
  std::mt19937 random(3);
  for (const auto& [rows, panel_count, depth] : {std::tuple{1, 3, 192},
                                                 {2, 2, 64},
                                                 {15, 3, 128},
                                                 {16, 1, 64},
                                                 {17, 1, 192},
                                                 {32, 1, 64},
                                                 {33, 1, 64},
                                                 {48, 1, 128},
                                                 {133, 1, 128},
                                                 {20, 2, 1088},
                                                 {1, 1, kMaxInt8Depth}}) {
    const auto row_count = static_cast<std::size_t>(rows);
    const auto inputs = static_cast<std::size_t>(depth);
    const std::size_t stride = inputs + 64;
    std::vector<std::uint8_t> a(row_count * stride);
    // The deepest has the largest numbers of one sign, whose sum all but fills 32 bits.
    const bool full = depth == kMaxInt8Depth;
    for (std::uint8_t& value : a) value = full ? 255 : static_cast<std::uint8_t>(random());
    std::vector<std::int8_t> panels(static_cast<std::size_t>(panel_count) * inputs * kPanelColumns);
    for (std::int8_t& value : panels) {
      value = full ? std::int8_t{127} : static_cast<std::int8_t>(random() % 255 - 127);
    }
    const std::size_t sums = static_cast<std::size_t>(panel_count) * row_count * kPanelColumns;
    std::vector<std::int32_t> c(sums + 16, 77);
    const ProductRows<std::uint8_t> x = product_rows(a, rows, stride, k().tiles);
    k().multiply_int8(x.row(0), x.layout(), rows, panels.data(), panel_count, depth, c.data(),
                      panels.data(), 5);
    for (std::size_t p = 0; p < static_cast<std::size_t>(panel_count); ++p) {
      for (std::size_t r = 0; r < row_count; ++r) {
        for (std::size_t col = 0; col < kPanelColumns; ++col) {
          std::int64_t sum = 0;
          for (std::size_t i = 0; i < inputs; ++i) {
            const std::size_t at = p * inputs * kPanelColumns + i / 4 * 4 * kPanelColumns;
            sum += std::int64_t{a[r * stride + i]} * panels[at + 4 * col + i % 4];
          }
          ASSERT_EQ(c[(p * row_count + r) * kPanelColumns + col], sum)
              << rows << " rows, " << panel_count << " panels, depth " << depth;
        }
      }
    }
    EXPECT_TRUE(std::all_of(c.begin() + static_cast<std::ptrdiff_t>(sums), c.end(),
                            [](std::int32_t value) { return value == 77; }));
  }
}

TEST_P(Kernel, MultipliesBlocksExactlyAndWritesNothingElse) {
  std::mt19937 random(5);
  for (const auto& [rows, depth] : {std::pair{1, 32},
                                    {2, 128},
                                    {5, 160},
                                    {7, 256},
                                    {13, 1056},
                                    {48, 96},
                                    {50, 300 / 32 * 32}}) {
    const auto row_count = static_cast<std::size_t>(rows);
    const auto inputs = static_cast<std::size_t>(depth);
    const std::size_t blocks = (inputs + kBlockDepth - 1) / kBlockDepth;
    const std::size_t stride = inputs + 3, scales_stride = blocks + 2;
    // The first row and the first column fill 32 bits, as far as they may.
    std::vector<std::int16_t> a(row_count * stride), panel(inputs * kPanelColumns);
    for (std::int16_t& value : a) {
      value = static_cast<std::int16_t>(static_cast<int>(random() % 16383) - kBlockInputLimit);
    }
    std::fill_n(a.begin(), inputs, kBlockInputLimit);
    for (std::size_t i = 0; i < inputs; ++i) {
      for (std::size_t col = 0; col < kPanelColumns; ++col) {
        panel[i / 2 * 2 * kPanelColumns + 2 * col + i % 2] = static_cast<std::int16_t>(
            col == 0 ? -kBlockWeightSum / kBlockDepth : static_cast<int>(random() % 4001) - 2000);
      }
    }
    // Powers of two, so that what is added up is exact but for the rounding of a block's sum.
    std::vector<float> a_scales(row_count * scales_stride), column_scales(kPanelColumns);
    for (float& scale : a_scales) scale = std::ldexp(1.0F, -static_cast<int>(random() % 3) - 12);
    for (float& scale : column_scales) scale = std::ldexp(1.0F, -static_cast<int>(random() % 9));
    std::vector<float> c(row_count * kPanelColumns + 16, 77.0F);
    k().multiply_blocks(a.data(), stride, a_scales.data(), scales_stride, rows, panel.data(),
                        column_scales.data(), depth, c.data(), panel.data());
    for (std::size_t r = 0; r < row_count; ++r) {
      for (std::size_t col = 0; col < kPanelColumns; ++col) {
        double sum = 0, size = 0;
        for (std::size_t block = 0; block < blocks; ++block) {
          std::int64_t exact = 0;
          for (std::size_t i = block * kBlockDepth; i < std::min(inputs, (block + 1) * kBlockDepth);
               ++i) {
            exact += std::int64_t{a[r * stride + i]} *
                     panel[i / 2 * 2 * kPanelColumns + 2 * col + i % 2];
          }
          sum += static_cast<double>(exact) * a_scales[r * scales_stride + block];
          size += std::abs(static_cast<double>(exact)) * a_scales[r * scales_stride + block];
        }
        ASSERT_NEAR(c[r * kPanelColumns + col], sum * column_scales[col],
                    size * column_scales[col] * 0x1p-23 * static_cast<double>(blocks))
            << rows << " rows, depth " << depth;
      }
    }
    EXPECT_TRUE(std::all_of(c.end() - 16, c.end(), [](float value) { return value == 77.0F; }));
  }
}

TEST_P(Kernel, RoundsARowToBlocksWithAScaleEach) {
  for (const std::size_t n : {1, 7, 127, 128, 129, 200, 512}) {
    std::vector<float> values = random_floats(n);
    // Blocks of different sizes, one of nothing but zeros.
    for (std::size_t i = 0; i < n; ++i)
      values[i] *= i / kBlockDepth == 2 ? 0.0F : i < 128 ? 1e5F : 1;
    std::vector<std::int16_t> numbers(n + 8, 77);
    const std::size_t blocks = (n + kBlockDepth - 1) / kBlockDepth;
    std::vector<float> scales(blocks + 1, 55.0F);
    k().to_blocks(values.data(), static_cast<int>(n), numbers.data(), scales.data());
    for (std::size_t block = 0; block < blocks; ++block) {
      int largest = 0;
      for (std::size_t i = block * kBlockDepth; i < std::min(n, (block + 1) * kBlockDepth); ++i) {
        ASSERT_NEAR(static_cast<float>(numbers[i]) * scales[block], values[i],
                    scales[block] * 0.501F);
        largest = std::max(largest, std::abs(static_cast<int>(numbers[i])));
      }
      EXPECT_EQ(largest, block == 2 ? 0 : kBlockInputLimit);
    }
    EXPECT_EQ(scales.back(), 55.0F);
    EXPECT_TRUE(std::all_of(numbers.end() - 8, numbers.end(), [](int v) { return v == 77; }));
  }
}

TEST_P(Kernel, ABlockThatIsNotFiniteHasNoScale) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> values = random_floats(300);
    values[290] = bad;
    std::vector<std::int16_t> numbers(values.size());
    std::vector<float> scales(3);
    k().to_blocks(values.data(), 300, numbers.data(), scales.data());
    EXPECT_TRUE(std::isfinite(scales[0]));
    EXPECT_TRUE(std::isnan(scales[2]));
  }
}

TEST_P(Kernel, ActivatesABlockAndRoundsIt) {
  constexpr int kRows = 5;
  constexpr std::size_t kStride = 300, kScalesStride = 3;
  for (const Activation activation :
       {Activation::kQuickGelu, Activation::kGelu, Activation::kGeluTanh}) {
    for (int panels = 1; panels <= kBlockPanels; ++panels) {
      constexpr std::size_t kPanelSize = std::size_t{kRows} * kPanelColumns;
      const auto columns = static_cast<std::size_t>(panels * kPanelColumns);
      std::vector<float> sums = random_floats(static_cast<std::size_t>(panels) * kPanelSize, 4);
      sums[0] = -200;  // far from where the powers of an activation are numbers
      const std::vector<float> bias = random_floats(columns);
      std::vector<std::int16_t> out(kRows * kStride, 77);
      std::vector<float> scales(kRows * kScalesStride, 55.0F);
      k().activate_blocks(sums.data(), kPanelSize, bias.data(), activation, kRows, panels,
                          out.data(), kStride, scales.data(), kScalesStride);
      std::vector<float> exact(kPanelColumns);
      for (std::size_t row = 0; row < kRows; ++row) {
        const float scale = scales[row * kScalesStride];
        int largest = 0;
        for (std::size_t panel = 0; panel < static_cast<std::size_t>(panels); ++panel) {
          k().activate(&sums[panel * kPanelSize + row * kPanelColumns],
                       &bias[panel * kPanelColumns], activation, 1, kPanelColumns, exact.data(), 0);
          for (std::size_t i = 0; i < kPanelColumns; ++i) {
            const int number = out[row * kStride + panel * kPanelColumns + i];
            ASSERT_NEAR(static_cast<float>(number) * scale, exact[i], scale * 0.55F);
            largest = std::max(largest, std::abs(number));
          }
        }
        EXPECT_EQ(largest, kBlockInputLimit);
        EXPECT_EQ(out[row * kStride + columns], 77);
        EXPECT_EQ(scales[row * kScalesStride + 1], 55.0F);
      }
    }
  }
}

TEST_P(Kernel, AnActivatedBlockThatIsNotFiniteHasNoScale) {
  for (const float bad : {NAN, INFINITY}) {
    std::vector<float> sums = random_floats(2 * kPanelColumns);
    sums[kPanelColumns + 7] = bad;
    const std::vector<float> bias(kPanelColumns);
    std::vector<std::int16_t> out(2 * kPanelColumns);
    std::vector<float> scales(2);
    k().activate_blocks(sums.data(), 2 * kPanelColumns, bias.data(), Activation::kQuickGelu, 2, 1,
                        out.data(), kPanelColumns, scales.data(), 1);
    EXPECT_TRUE(std::isfinite(scales[0]));
    EXPECT_TRUE(std::isnan(scales[1]));
  }
}

TEST_P(Kernel, RoundsARowToTheNearestOf256Steps) {
  for (const int n : {1, 5, 16, 30, 768}) {
    for (const float offset : {0.0F, 7.0F, -7.0F}) {
      std::vector<float> values = random_floats(static_cast<std::size_t>(n));
      for (float& value : values) value += offset;
      std::vector<BFloat16> halves(values.size());
      k().to_bf16(values.data(), values.size(), halves.data());
      std::vector<std::uint8_t> numbers(values.size() + 1, 99);
      const auto expect_near = [&](RowQuantization row, auto value) {
        float least = 0, largest = 0;
        for (std::size_t i = 0; i < values.size(); ++i) {
          least = std::min(least, value(i));
          largest = std::max(largest, value(i));
        }
        EXPECT_NEAR(row.scale, (largest - least) / 255, 1e-6);
        EXPECT_GE(row.zero, 0);
        EXPECT_LE(row.zero, 255);
        for (std::size_t i = 0; i < values.size(); ++i) {
          const float back = row.scale * static_cast<float>(numbers[i] - row.zero);
          // Zero is one of the steps, so that those at the ends may be half a step further off.
          EXPECT_NEAR(back, value(i), 1.001 * static_cast<double>(row.scale)) << n;
        }
        EXPECT_EQ(numbers.back(), 99);
      };
      expect_near(k().quantize(values.data(), n, numbers.data(), 64),
                  [&](std::size_t i) { return values[i]; });
      expect_near(k().quantize_bf16(halves.data(), n, numbers.data(), 64),
                  [&](std::size_t i) { return from_bf16(halves[i]); });
    }
  }
}

TEST_P(Kernel, WritesLinesWhereTheyBelong) {
  constexpr int kColumns = 150;
  const std::vector<float> x = random_floats(kColumns);
  const std::vector<float> scale = random_floats(kColumns);
  std::vector<BFloat16> halves(kColumns);
  k().to_bf16(x.data(), halves.size(), halves.data());
  const auto expect_the_same = [](const auto& in_a_row, const auto& in_lines, int line,
                                  std::size_t line_stride) {
    std::size_t written = 0;
    for (std::size_t i = 0; i < in_a_row.size(); ++i) {
      const auto size = static_cast<std::size_t>(line);
      EXPECT_EQ(in_a_row[i], in_lines[i / size * line_stride + i % size]) << i;
    }
    for (const auto value : in_lines) written += value != 9 ? 1 : 0;
    EXPECT_LE(written, in_a_row.size());
  };
  std::vector<BFloat16> row(kColumns), lines(1000, 9);
  k().layer_norm_bf16(x.data(), scale.data(), scale.data(), 1e-5F, kColumns, row.data(), 32);
  k().layer_norm_bf16(x.data(), scale.data(), scale.data(), 1e-5F, kColumns, lines.data(), 200);
  expect_the_same(row, lines, 32, 200);
  std::vector<std::uint8_t> numbers(kColumns), number_lines(1000, 9);
  k().quantize(x.data(), kColumns, numbers.data(), 64);
  k().quantize(x.data(), kColumns, number_lines.data(), 300);
  expect_the_same(numbers, number_lines, 64, 300);
  number_lines.assign(1000, 9);
  k().quantize_bf16(halves.data(), kColumns, numbers.data(), 64);
  k().quantize_bf16(halves.data(), kColumns, number_lines.data(), 300);
  expect_the_same(numbers, number_lines, 64, 300);
}

TEST_P(Kernel, RoundsToHalfAStepWhereZeroIsAStepAnyway) {
  std::vector<float> values(256);
  std::vector<std::uint8_t> numbers(256);
  for (int i = 0; i < 256; ++i) values[static_cast<std::size_t>(i)] = static_cast<float>(i - 100);
  const RowQuantization row = k().quantize(values.data(), 256, numbers.data(), 64);
  EXPECT_NEAR(row.scale, 1, 1e-6);
  EXPECT_EQ(row.zero, 100);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(numbers[static_cast<std::size_t>(i)], i);
}

TEST_P(Kernel, RoundsNoValueBeyondTheEnds) {
  std::mt19937 random(9);
  std::uniform_real_distribution<float> exponent(-60, 60);
  for (int round = 0; round < 20000; ++round) {
    // Ends whose zero lies between two steps are the ones that may be rounded beyond them.
    const float reach = std::exp2(exponent(random));
    const float share = (static_cast<float>(random() % 256) + 0.5F) / 255;
    const std::vector<float> values = {-share * reach, (1 - share) * reach, 0.0F};
    std::vector<BFloat16> halves(values.size());
    k().to_bf16(values.data(), values.size(), halves.data());
    std::vector<std::uint8_t> numbers(values.size());
    const auto expect_ends = [&](RowQuantization row) {
      EXPECT_LE(numbers[0], 1) << share << ' ' << reach;
      EXPECT_GE(numbers[1], 254) << share << ' ' << reach;
      EXPECT_EQ(numbers[2], row.zero);
    };
    expect_ends(k().quantize(values.data(), 3, numbers.data(), 64));
    if (share < 1) expect_ends(k().quantize_bf16(halves.data(), 3, numbers.data(), 64));
  }
}

TEST_P(Kernel, ARowThatIsNotFiniteStaysSo) {
  for (const float bad : {NAN, INFINITY, -INFINITY, 3.4e38F}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{17}, std::size_t{20}}) {
      std::vector<float> values = random_floats(21);
      values[at] = bad;
      if (bad == 3.4e38F) values[(at + 1) % 21] = -bad;  // the range between them is not finite
      std::vector<std::uint8_t> numbers(21);
      const RowQuantization row = k().quantize(values.data(), 21, numbers.data(), 64);
      EXPECT_FALSE(std::isfinite(row.scale)) << bad << " at " << at;
      std::vector<BFloat16> halves(21);
      k().to_bf16(values.data(), 21, halves.data());
      const RowQuantization of_halves = k().quantize_bf16(halves.data(), 21, numbers.data(), 64);
      EXPECT_FALSE(std::isfinite(of_halves.scale)) << bad << " at " << at;
    }
  }
  const std::vector<float> nothing(21, 0.0F);
  std::vector<std::uint8_t> numbers(21);
  const RowQuantization row = k().quantize(nothing.data(), 21, numbers.data(), 64);
  EXPECT_EQ(row.scale, 0);
}

TEST_P(Kernel, TellsWhatSumsOfBytesStandFor) {
  constexpr std::size_t kRows = 3;
  std::mt19937 random(4);
  std::vector<std::int32_t> sums(kRows * kPanelColumns), column_sums(kPanelColumns);
  for (std::int32_t& sum : sums)
    sum = static_cast<std::int32_t>(random() % 20'000'000) - 10'000'000;
  for (std::int32_t& sum : column_sums) sum = static_cast<std::int32_t>(random() % 60'000) - 30'000;
  const std::vector<float> scales = random_floats(kPanelColumns);
  const std::vector<float> offsets = random_floats(sums.size());
  const RowQuantization rows[kRows] = {{0.25F, 201}, {3.0F, 0}, {0.001F, 255}};
  for (const bool with_offsets : {true, false}) {
    std::vector<float> values(sums.size(), NAN);
    k().dequantize(sums.data(), column_sums.data(), scales.data(), rows, kRows,
                   with_offsets ? offsets.data() : nullptr, values.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const RowQuantization& row = rows[i / kPanelColumns];
      const std::size_t column = i % kPanelColumns;
      const double expected =
          (with_offsets ? offsets[i] : 0) +
          double{row.scale} * scales[column] *
              static_cast<double>(sums[i] - std::int64_t{row.zero} * column_sums[column]);
      EXPECT_NEAR(values[i], expected, 1e-6 * std::abs(expected) + 1e-6);
    }
  }
}

TEST_P(Kernel, RoundsToTheNearestBFloat16AndToEvenOnATie) {
  const auto rounded = [this](float value) {
    BFloat16 half = 0;
    k().to_bf16(&value, 1, &half);
    return from_bf16(half);
  };
  EXPECT_EQ(rounded(1.0F), 1.0F);
  EXPECT_EQ(rounded(-2.5F), -2.5F);
  EXPECT_EQ(rounded(1.0F + 0x1p-8F), 1.0F);
  EXPECT_EQ(rounded(1.0F + 3 * 0x1p-8F), 1.0F + 0x1p-6F);
  EXPECT_EQ(rounded(1.0F + 0x1p-8F + 0x1p-20F), 1.0F + 0x1p-7F);
  EXPECT_EQ(rounded(0.0F), 0.0F);
  EXPECT_EQ(rounded(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(rounded(NAN)));
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7fffffffU))));
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7f800001U))));
  const std::vector<float> values = random_floats(37);
  std::vector<BFloat16> halves(values.size());
  std::vector<float> back(values.size());
  k().to_bf16(values.data(), values.size(), halves.data());
  k().from_bf16(halves.data(), halves.size(), back.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_LE(std::abs(back[i] - values[i]), std::abs(values[i]) * 0x1p-8F);
  }
}

TEST_P(Kernel, NormalisesRowsOfAnyWidth) {
  for (const int n : {1, 5, 16, 30, 768}) {
    const auto size = static_cast<std::size_t>(n);
    std::vector<float> x = random_floats(size, 3);
    for (float& value : x) value += 40;  // a mean that a careless variance would drown in
    const std::vector<float> scale = random_floats(size);
    const std::vector<float> shift = random_floats(size);
    std::vector<float> out(size + 1, 5.0F);
    k().layer_norm(x.data(), scale.data(), shift.data(), 1e-5F, n, out.data());
    double mean = 0, variance = 0;
    for (const float value : x) mean += value / double(n);
    for (const float value : x) variance += (value - mean) * (value - mean) / n;
    for (std::size_t i = 0; i < size; ++i) {
      const double expected = (x[i] - mean) / std::sqrt(variance + 1e-5) * scale[i] + shift[i];
      EXPECT_NEAR(out[i], expected, n == 1 ? 1e-2 : 2e-4) << n;
    }
    EXPECT_EQ(out[size], 5.0F);
  }
}

TEST_P(Kernel, ActivatesAsFloat32Can) {
  std::vector<float> x;
  for (float value = -30; value < 30; value += 0.0137F) x.push_back(value);
  const std::vector<float> bias(x.size(), 0.25F);
  std::vector<float> out(x.size());
  const auto activate = [&](Activation activation) {
    for (std::size_t i = 0; i < x.size(); i += kPanelColumns) {
      const int n = static_cast<int>(std::min<std::size_t>(kPanelColumns, x.size() - i));
      k().activate(&x[i], &bias[i], activation, 1, n, &out[i], 0);
    }
  };
  const auto expect = [&](const char* name, auto reference) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double input = double{x[i]} + 0.25;
      const double wanted = reference(input);
      // Float32 itself loses this much where 1 + erf(x) cancels.
      const double cancelled = 1.5e-7 * std::abs(input);
      EXPECT_NEAR(out[i], wanted, 1e-6 * std::abs(wanted) + cancelled + 1e-7)
          << name << " of " << input;
    }
  };
  activate(Activation::kQuickGelu);
  expect("quick_gelu", [](double v) { return v / (1 + std::exp(-1.702 * v)); });
  activate(Activation::kGelu);
  expect("gelu", [](double v) { return v * 0.5 * (1 + std::erf(v / std::sqrt(2.0))); });
  activate(Activation::kGeluTanh);
  expect("gelu_tanh", [](double v) {
    return v * 0.5 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v)));
  });
}

TEST_P(Kernel, TakesTheSoftmaxOfWhatIsSeenAndNoMore) {
  for (const int count : {1, 3, 16, 50, 64}) {
    std::vector<float> row = random_floats(64, 5);
    const std::vector<float> scores = row;
    k().softmax(row.data(), count, 64);
    const float largest = *std::max_element(scores.begin(), scores.begin() + count);
    double sum = 0;
    for (int i = 0; i < count; ++i)
      sum += std::exp(double{scores[static_cast<std::size_t>(i)]} - largest);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool seen = i < static_cast<std::size_t>(count);
      EXPECT_NEAR(row[i], seen ? std::exp(double{scores[i]} - largest) / sum : 0.0, 1e-6) << count;
    }
  }
}

TEST_P(Kernel, TakesTheSoftmaxOfColumnsInPanels) {
  constexpr std::size_t kPanelStride = 3 * kPanelColumns;
  for (const int count : {1, 3, 16, 31, 32, 33, 50, 64, 90}) {
    std::vector<float> panels = random_floats(3 * kPanelStride, 5);
    const auto score = [before = panels](int i) {
      return double{before[static_cast<std::size_t>(i / kPanelColumns) * kPanelStride +
                           static_cast<std::size_t>(i % kPanelColumns)]};
    };
    std::vector<BFloat16> out(97, 9);
    k().softmax_bf16(panels.data(), kPanelStride, count, 96, out.data());
    double largest = score(0), sum = 0;
    for (int i = 1; i < count; ++i) largest = std::max(largest, score(i));
    for (int i = 0; i < count; ++i) sum += std::exp(score(i) - largest);
    for (int i = 0; i < 96; ++i) {
      const double wanted = i < count ? std::exp(score(i) - largest) / sum : 0;
      EXPECT_NEAR(from_bf16(out[static_cast<std::size_t>(i)]), wanted, wanted * 0x1p-8 + 1e-7)
          << i << " of " << count;
    }
    EXPECT_EQ(out.back(), 9);
  }
}

TEST_P(Kernel, AttendsToKeysThatLieAnywhere) {
  for (const auto& [count, depth] :
       {std::pair{1, 64}, {3, 64}, {4, 32}, {6, 64}, {7, 21}, {16, 100}, {77, 64}, {50, 3}}) {
    const auto columns = static_cast<std::size_t>(depth);
    const std::size_t value_offset = columns + 5;
    std::vector<std::vector<float>> rows;
    std::vector<const float*> keys;
    for (int i = 0; i < count; ++i) rows.push_back(random_floats(value_offset + columns));
    for (const std::vector<float>& row : rows) keys.push_back(row.data());
    const std::vector<float> query = random_floats(columns);
    std::vector<float> weights(rows.size() + 1, 9);
    std::vector<float> out(columns + 1, 9);
    k().attend(query.data(), keys.data(), value_offset, count, depth, weights.data(), out.data());

    std::vector<double> wanted;
    for (const std::vector<float>& row : rows) {
      wanted.push_back(
          std::exp(std::inner_product(query.begin(), query.end(), row.begin(), 0.0, std::plus<>(),
                                      [](float a, float b) { return double{a} * b; })));
    }
    const double sum = std::accumulate(wanted.begin(), wanted.end(), 0.0);
    for (std::size_t column = 0; column < columns; ++column) {
      double value = 0;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        value += wanted[i] / sum * rows[i][value_offset + column];
      }
      EXPECT_NEAR(out[column], value, 3e-6) << column << " of " << count << " x " << depth;
    }
    EXPECT_EQ(weights.back(), 9);
    EXPECT_EQ(out.back(), 9);
  }
}

TEST_P(Kernel, PacksRowsThatLieAnywhere) {
  for (const auto& [count, depth] :
       {std::pair{1, 2}, {16, 32}, {17, 64}, {50, 64}, {40, 21}, {33, 100}}) {
    std::vector<std::vector<BFloat16>> rows(static_cast<std::size_t>(count));
    std::vector<const BFloat16*> pointers;
    for (std::vector<BFloat16>& row : rows) {
      const std::vector<float> values = random_floats(static_cast<std::size_t>(depth));
      row.resize(values.size());
      k().to_bf16(values.data(), row.size(), row.data());
      pointers.push_back(row.data());
    }
    const auto padded_count = static_cast<std::size_t>(round_up(count, kPanelColumns));
    const auto padded_depth = static_cast<std::size_t>(round_up(depth, kPanelColumns));
    const auto value = [&rows = rows](std::size_t row, std::size_t column) {
      return row < rows.size() && column < rows[row].size() ? rows[row][column] : BFloat16{0};
    };
    // Where element (i, j) of panels of so deep a product is.
    const auto element = [](std::size_t i, std::size_t j, std::size_t product_depth) {
      return j / kPanelColumns * product_depth * kPanelColumns + i / 2 * 2 * kPanelColumns +
             j % kPanelColumns * 2 + i % 2;
    };
    std::vector<BFloat16> transposed(padded_count * padded_depth + 1, 9);
    k().pack_transposed_bf16(pointers.data(), count, depth, transposed.data());
    std::vector<BFloat16> packed(padded_count * padded_depth + 1, 9);
    k().pack_bf16(pointers.data(), count, depth, packed.data());
    for (std::size_t row = 0; row < padded_count; ++row) {
      for (std::size_t column = 0; column < padded_depth; ++column) {
        ASSERT_EQ(transposed[element(column, row, padded_depth)], value(row, column))
            << row << ", " << column << " of " << count << " x " << depth;
        ASSERT_EQ(packed[element(row, column, padded_count)], value(row, column))
            << row << ", " << column << " of " << count << " x " << depth;
      }
    }
    EXPECT_EQ(transposed.back(), 9);
    EXPECT_EQ(packed.back(), 9);
  }
}

TEST_P(Kernel, FinishesABlockOfRowsAndWritesNothingElse) {
  constexpr int kRows = 3, kColumns = 21;
  constexpr std::size_t kStride = 40;
  const std::vector<float> sums = random_floats(std::size_t{kRows} * kPanelColumns);
  const std::vector<float> bias = random_floats(kColumns);
  const std::vector<float> before = random_floats(kRows * kStride);
  const auto expect = [&](const std::vector<float>& out, float tolerance, auto wanted) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::size_t row = i / kStride, column = i % kStride;
      if (column >= kColumns) {
        EXPECT_EQ(out[i], before[i]);
      } else {
        const float value = wanted(sums[row * kPanelColumns + column] + bias[column], before[i]);
        EXPECT_NEAR(out[i], value, tolerance * std::abs(value) + 1e-6F);
      }
    }
  };
  const auto quick_gelu = [](float x, float) { return x / (1 + std::exp(-1.702F * x)); };
  std::vector<float> out = before;
  k().accumulate(sums.data(), bias.data(), kRows, kColumns, out.data(), kStride);
  expect(out, 1e-6F, [](float x, float old) { return old + x; });
  out = before;
  k().add_bias(sums.data(), bias.data(), kRows, kColumns, out.data(), kStride);
  expect(out, 1e-6F, [](float x, float) { return x; });
  out = before;
  k().activate(sums.data(), bias.data(), Activation::kQuickGelu, kRows, kColumns, out.data(),
               kStride);
  expect(out, 1e-5F, quick_gelu);

  const auto in_bfloat16 = [&](auto finish) {
    std::vector<BFloat16> halves(before.size(), 0xffff);
    finish(halves.data());
    std::vector<float> values = before;
    for (std::size_t i = 0; i < halves.size(); ++i) {
      if (i % kStride < kColumns) {
        values[i] = from_bf16(halves[i]);
      } else {
        EXPECT_EQ(halves[i], 0xffff);
      }
    }
    return values;
  };
  expect(in_bfloat16([&](BFloat16* halves) {
           k().add_bias_bf16(sums.data(), bias.data(), kRows, kColumns, halves, kStride);
         }),
         0x1p-8F, [](float x, float) { return x; });
  expect(in_bfloat16([&](BFloat16* halves) {
           k().activate_bf16(sums.data(), bias.data(), Activation::kQuickGelu, kRows, kColumns,
                             halves, kStride);
         }),
         0x1p-8F, quick_gelu);
}

TEST_P(Kernel, Transposes) {
  const std::vector<float> values = random_floats(19 * 24);
  std::vector<float> out(23 * 32, -1.0F);
  k().transpose(values.data(), 24, 19, 23, out.data(), 32);
  for (std::size_t row = 0; row < 19; ++row) {
    for (std::size_t col = 0; col < 23; ++col) {
      EXPECT_EQ(out[col * 32 + row], values[row * 24 + col]);
    }
  }
}

}  // namespace
}  // namespace vitrine::encoder::cpu
