#include "encoder/image_resample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "base/kernel_choice.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Pillow's resize (src/libImaging/Resample.c) is followed to the bit: float64 weights turned into
// 22-bit fixed point, integer sums, 8 bits between the horizontal and the vertical pass.
//
// A sum fits 32 bits: the weights of a window add up to 1.0, and their absolute values to less than
// 1.5. Integer sums do not depend on the order of their terms, so that a kernel may take any.

namespace vitrine::encoder {
namespace {

constexpr int kPrecisionBits = 22;
constexpr std::int32_t kRounding = 1 << (kPrecisionBits - 1);

/// A weight is high * 2^kLowBits + low, both of which fit the 16 bits that pmaddwd multiplies; it
/// does twice the work of pmulld, which multiplies whole weights, in half the time.
constexpr int kLowBits = 12;

/// Weights come in groups of this many taps; zeros fill up the last group of a window.
constexpr std::size_t kGroupTaps = 4;

/// Rows of the horizontal pass that share the loads of the weights.
constexpr std::size_t kRowsAtATime = 4;

/// Bytes that a kernel reads, and does not use, behind a row: up to three pixels of zero weight,
/// and the end of a load of 16 bytes that needs 12.
constexpr std::size_t kReadBehind = 16;

/// Rows between the passes begin at multiples of this, the widest vector of any kernel.
constexpr std::size_t kAlignment = 64;

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

/// Halves of the weights of four taps, two taps in each number: the first in its lower 16 bits.
struct WeightGroup {
  std::array<std::int32_t, 2> high;
  std::array<std::int32_t, 2> low;
};

/// The input samples that one output sample is made of.
struct Window {
  std::size_t first = 0;
  std::size_t taps = 0;
  std::size_t group = 0;  // position of its first weights in Axis::groups
};

/// The windows of one pass, and their weights as each kind of kernel wants them.
struct Axis {
  std::vector<Window> windows;
  std::vector<std::int32_t> weights;  // kGroupTaps for each group
  std::vector<WeightGroup> groups;
};

std::int32_t pack_pair(std::int32_t first, std::int32_t second) {
  return static_cast<std::int32_t>((static_cast<std::uint32_t>(first) & 0xffffU) |
                                   (static_cast<std::uint32_t>(second) << 16));
}

WeightGroup split(const std::int32_t* weights) {
  constexpr std::int32_t low_mask = (1 << kLowBits) - 1;
  WeightGroup group{};
  for (std::size_t pair = 0; pair < 2; ++pair) {
    const std::int32_t first = weights[2 * pair];
    const std::int32_t second = weights[2 * pair + 1];
    group.high[pair] = pack_pair(first >> kLowBits, second >> kLowBits);
    group.low[pair] = pack_pair(first & low_mask, second & low_mask);
  }
  return group;
}

/// The output samples [start, start + count) of a pass from in_size to out_size samples.
Axis make_axis(std::size_t in_size, std::size_t out_size, std::size_t start, std::size_t count) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Axis axis;
  axis.windows.reserve(count);
  std::vector<double> weights;
  for (std::size_t i = start; i < start + count; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first = static_cast<std::size_t>(std::max(center - support + 0.5, 0.0));
    const auto last = std::min(static_cast<std::size_t>(center + support + 0.5), in_size);
    weights.clear();
    double sum = 0.0;
    for (std::size_t x = first; x < last; ++x) {
      weights.push_back(bicubic((static_cast<double>(x) - center + 0.5) * inverse));
      sum += weights.back();
    }
    axis.windows.push_back({first, last - first, axis.weights.size() / kGroupTaps});
    for (double weight : weights) {
      if (sum != 0.0) weight /= sum;
      const double fixed = weight * (1 << kPrecisionBits);
      axis.weights.push_back(static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
    while (axis.weights.size() % kGroupTaps != 0) axis.weights.push_back(0);
  }
  axis.groups.reserve(axis.weights.size() / kGroupTaps);
  for (std::size_t i = 0; i < axis.weights.size(); i += kGroupTaps) {
    axis.groups.push_back(split(&axis.weights[i]));
  }
  return axis;
}

using SourceRows = std::array<const std::uint8_t*, kRowsAtATime>;
using TargetRows = std::array<std::uint8_t*, kRowsAtATime>;

struct Kernel {
  /// A pixel of each target row for each window of the axis. Reads up to kReadBehind bytes behind
  /// the source rows, writes up to one behind the target rows.
  void (*horizontal)(const Axis& axis, const SourceRows& sources, const TargetRows& targets);
  /// The weighted sum of the window's rows, of which `rows` is the first: `values` bytes. Reads
  /// whole multiples of kAlignment bytes of each row.
  void (*vertical)(const Axis& axis, const Window& window, const std::uint8_t* rows,
                   std::size_t stride, std::size_t values, std::uint8_t* target);
};

std::uint8_t clip(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

void horizontal_portable(const Axis& axis, const SourceRows& sources, const TargetRows& targets) {
  for (std::size_t row = 0; row < kRowsAtATime; ++row) {
    std::uint8_t* target = targets[row];
    for (const Window& window : axis.windows) {
      const std::uint8_t* pixel = sources[row] + window.first * 3;
      const std::int32_t* weights = &axis.weights[window.group * kGroupTaps];
      std::int32_t red = kRounding;
      std::int32_t green = kRounding;
      std::int32_t blue = kRounding;
      for (std::size_t tap = 0; tap < window.taps; ++tap, pixel += 3) {
        red += pixel[0] * weights[tap];
        green += pixel[1] * weights[tap];
        blue += pixel[2] * weights[tap];
      }
      *target++ = clip(red);
      *target++ = clip(green);
      *target++ = clip(blue);
    }
  }
}

void vertical_portable(const Axis& axis, const Window& window, const std::uint8_t* rows,
                       std::size_t stride, std::size_t values, std::uint8_t* target) {
  const std::int32_t* weights = &axis.weights[window.group * kGroupTaps];
  for (std::size_t begin = 0; begin < values; begin += kAlignment) {
    std::array<std::int32_t, kAlignment> sums;
    sums.fill(kRounding);
    for (std::size_t tap = 0; tap < window.taps; ++tap) {
      const std::uint8_t* row = rows + tap * stride + begin;
      for (std::size_t i = 0; i < kAlignment; ++i) sums[i] += row[i] * weights[tap];
    }
    const std::size_t count = std::min(kAlignment, values - begin);
    std::transform(sums.begin(), sums.begin() + count, target + begin, clip);
  }
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2")))
#define VITRINE_AVX512 __attribute__((target("avx512f,avx512bw")))

// The kernels below, in 16-bit steps: a lane of 128 bits holds two pixels of a row as red 0, red 1,
// green 0, green 1, blue 0, blue 1, 0, 0 (horizontal), or four values of two rows, alternating
// (vertical), so that pmaddwd multiplies by a pair of weights and adds.

constexpr std::size_t kPixelsOfGroup = kGroupTaps * 3;  // bytes

VITRINE_AVX2 void horizontal_avx2(const Axis& axis, const SourceRows& sources,
                                  const TargetRows& targets) {
  const __m256i spread =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7,
                       -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const __m256i pick_high = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i pick_low = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  const __m256i rounding =
      _mm256_setr_epi32(kRounding, kRounding, kRounding, kRounding, 0, 0, 0, 0);
  std::size_t target = 0;
  for (const Window& window : axis.windows) {
    __m256i high[kRowsAtATime];
    __m256i low[kRowsAtATime];
    for (std::size_t row = 0; row < kRowsAtATime; ++row) {
      high[row] = _mm256_setzero_si256();
      low[row] = rounding;
    }
    const WeightGroup* group = &axis.groups[window.group];
    std::size_t source = window.first * 3;
    for (std::size_t tap = 0; tap < window.taps; tap += kGroupTaps) {
      const __m256i weights =
          _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(group++)));
      const __m256i high_weights = _mm256_permutevar8x32_epi32(weights, pick_high);
      const __m256i low_weights = _mm256_permutevar8x32_epi32(weights, pick_low);
      for (std::size_t row = 0; row < kRowsAtATime; ++row) {
        const __m256i pixels = _mm256_shuffle_epi8(
            _mm256_broadcastsi128_si256(
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(sources[row] + source))),
            spread);
        high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(pixels, high_weights));
        low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(pixels, low_weights));
      }
      source += kPixelsOfGroup;
    }
    __m256i sums[kRowsAtATime];
    for (std::size_t row = 0; row < kRowsAtATime; ++row) {
      sums[row] = _mm256_add_epi32(_mm256_slli_epi32(high[row], kLowBits), low[row]);
    }
    const __m256i rows01 = _mm256_add_epi32(_mm256_permute2x128_si256(sums[0], sums[1], 0x20),
                                            _mm256_permute2x128_si256(sums[0], sums[1], 0x31));
    const __m256i rows23 = _mm256_add_epi32(_mm256_permute2x128_si256(sums[2], sums[3], 0x20),
                                            _mm256_permute2x128_si256(sums[2], sums[3], 0x31));
    const __m256i words = _mm256_packs_epi32(_mm256_srai_epi32(rows01, kPrecisionBits),
                                             _mm256_srai_epi32(rows23, kPrecisionBits));
    const __m256i bytes = _mm256_packus_epi16(words, words);  // rows 0, 2 | rows 1, 3
    const int pixels[kRowsAtATime] = {
        _mm256_extract_epi32(bytes, 0), _mm256_extract_epi32(bytes, 4),
        _mm256_extract_epi32(bytes, 1), _mm256_extract_epi32(bytes, 5)};
    for (std::size_t row = 0; row < kRowsAtATime; ++row) {
      std::memcpy(targets[row] + target, &pixels[row], sizeof(int));
    }
    target += 3;
  }
}

VITRINE_AVX2 void vertical_avx2(const Axis& axis, const Window& window, const std::uint8_t* rows,
                                std::size_t stride, std::size_t values, std::uint8_t* target) {
  constexpr std::size_t kBytes = 32;
  constexpr std::size_t kParts = 4;  // vectors of 32-bit sums that a vector of bytes becomes
  const __m256i zero = _mm256_setzero_si256();
  for (std::size_t begin = 0; begin < values; begin += kBytes) {
    __m256i high[kParts];
    __m256i low[kParts];
    for (std::size_t part = 0; part < kParts; ++part) {
      high[part] = zero;
      low[part] = _mm256_set1_epi32(kRounding);
    }
    for (std::size_t tap = 0; tap < window.taps; tap += 2) {
      const WeightGroup& group = axis.groups[window.group + tap / kGroupTaps];
      const __m256i high_weights = _mm256_set1_epi32(group.high[tap / 2 % 2]);
      const __m256i low_weights = _mm256_set1_epi32(group.low[tap / 2 % 2]);
      const std::uint8_t* row = rows + tap * stride + begin;
      const std::uint8_t* next = tap + 1 < window.taps ? row + stride : row;
      const __m256i even = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
      const __m256i odd = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(next));
      const __m256i first = _mm256_unpacklo_epi8(even, odd);
      const __m256i second = _mm256_unpackhi_epi8(even, odd);
      const __m256i pairs[kParts] = {
          _mm256_unpacklo_epi8(first, zero), _mm256_unpackhi_epi8(first, zero),
          _mm256_unpacklo_epi8(second, zero), _mm256_unpackhi_epi8(second, zero)};
      for (std::size_t part = 0; part < kParts; ++part) {
        high[part] = _mm256_add_epi32(high[part], _mm256_madd_epi16(pairs[part], high_weights));
        low[part] = _mm256_add_epi32(low[part], _mm256_madd_epi16(pairs[part], low_weights));
      }
    }
    for (std::size_t part = 0; part < kParts; ++part) {
      const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high[part], kLowBits), low[part]);
      low[part] = _mm256_srai_epi32(sum, kPrecisionBits);
    }
    const __m256i bytes =
        _mm256_packus_epi16(_mm256_packs_epi32(low[0], low[1]), _mm256_packs_epi32(low[2], low[3]));
    if (values - begin >= kBytes) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target + begin), bytes);
    } else {
      alignas(kBytes) std::uint8_t tail[kBytes];
      _mm256_store_si256(reinterpret_cast<__m256i*>(tail), bytes);
      std::memcpy(target + begin, tail, values - begin);
    }
  }
}

/// As AVX2, with two rows in one vector.
VITRINE_AVX512 void horizontal_avx512(const Axis& axis, const SourceRows& sources,
                                      const TargetRows& targets) {
  constexpr std::size_t kVectors = kRowsAtATime / 2;
  constexpr __mmask16 second_half = 0xff00;
  const __m512i spread = _mm512_broadcast_i64x4(
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7,
                       -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  const __m512i pick_high = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1);
  const __m512i pick_low = _mm512_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3, 2, 2, 2, 2, 3, 3, 3, 3);
  const __m512i rounding = _mm512_maskz_set1_epi32(0x0f0f, kRounding);
  std::size_t target = 0;
  for (const Window& window : axis.windows) {
    __m512i high[kVectors];
    __m512i low[kVectors];
    for (std::size_t i = 0; i < kVectors; ++i) {
      high[i] = _mm512_setzero_si512();
      low[i] = rounding;
    }
    const WeightGroup* group = &axis.groups[window.group];
    std::size_t source = window.first * 3;
    for (std::size_t tap = 0; tap < window.taps; tap += kGroupTaps) {
      const __m512i weights =
          _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(group++)));
      const __m512i high_weights = _mm512_permutexvar_epi32(pick_high, weights);
      const __m512i low_weights = _mm512_permutexvar_epi32(pick_low, weights);
      for (std::size_t i = 0; i < kVectors; ++i) {
        const auto* first = reinterpret_cast<const __m128i*>(sources[2 * i] + source);
        const auto* second = reinterpret_cast<const __m128i*>(sources[2 * i + 1] + source);
        const __m512i pixels = _mm512_shuffle_epi8(
            _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(_mm_loadu_si128(first)), second_half,
                                        _mm_loadu_si128(second)),
            spread);
        high[i] = _mm512_add_epi32(high[i], _mm512_madd_epi16(pixels, high_weights));
        low[i] = _mm512_add_epi32(low[i], _mm512_madd_epi16(pixels, low_weights));
      }
      source += kPixelsOfGroup;
    }
    for (std::size_t i = 0; i < kVectors; ++i) {
      low[i] = _mm512_add_epi32(_mm512_slli_epi32(high[i], kLowBits), low[i]);
    }
    const __m512i sums = _mm512_add_epi32(_mm512_shuffle_i32x4(low[0], low[1], 0x88),
                                          _mm512_shuffle_i32x4(low[0], low[1], 0xdd));
    const __m512i values = _mm512_srai_epi32(sums, kPrecisionBits);
    const __m128i bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(values, _mm512_setzero_si512()));
    const int pixels[kRowsAtATime] = {_mm_extract_epi32(bytes, 0), _mm_extract_epi32(bytes, 1),
                                      _mm_extract_epi32(bytes, 2), _mm_extract_epi32(bytes, 3)};
    for (std::size_t row = 0; row < kRowsAtATime; ++row) {
      std::memcpy(targets[row] + target, &pixels[row], sizeof(int));
    }
    target += 3;
  }
}

VITRINE_AVX512 void vertical_avx512(const Axis& axis, const Window& window,
                                    const std::uint8_t* rows, std::size_t stride,
                                    std::size_t values, std::uint8_t* target) {
  constexpr std::size_t kBytes = 64;
  constexpr std::size_t kParts = 4;
  const __m512i zero = _mm512_setzero_si512();
  for (std::size_t begin = 0; begin < values; begin += kBytes) {
    __m512i high[kParts];
    __m512i low[kParts];
    for (std::size_t part = 0; part < kParts; ++part) {
      high[part] = zero;
      low[part] = _mm512_set1_epi32(kRounding);
    }
    for (std::size_t tap = 0; tap < window.taps; tap += 2) {
      const WeightGroup& group = axis.groups[window.group + tap / kGroupTaps];
      const __m512i high_weights = _mm512_set1_epi32(group.high[tap / 2 % 2]);
      const __m512i low_weights = _mm512_set1_epi32(group.low[tap / 2 % 2]);
      const std::uint8_t* row = rows + tap * stride + begin;
      const std::uint8_t* next = tap + 1 < window.taps ? row + stride : row;
      const __m512i even = _mm512_loadu_si512(row);
      const __m512i odd = _mm512_loadu_si512(next);
      const __m512i first = _mm512_unpacklo_epi8(even, odd);
      const __m512i second = _mm512_unpackhi_epi8(even, odd);
      const __m512i pairs[kParts] = {
          _mm512_unpacklo_epi8(first, zero), _mm512_unpackhi_epi8(first, zero),
          _mm512_unpacklo_epi8(second, zero), _mm512_unpackhi_epi8(second, zero)};
      for (std::size_t part = 0; part < kParts; ++part) {
        high[part] = _mm512_add_epi32(high[part], _mm512_madd_epi16(pairs[part], high_weights));
        low[part] = _mm512_add_epi32(low[part], _mm512_madd_epi16(pairs[part], low_weights));
      }
    }
    for (std::size_t part = 0; part < kParts; ++part) {
      const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(high[part], kLowBits), low[part]);
      low[part] = _mm512_srai_epi32(sum, kPrecisionBits);
    }
    const __m512i bytes =
        _mm512_packus_epi16(_mm512_packs_epi32(low[0], low[1]), _mm512_packs_epi32(low[2], low[3]));
    const std::size_t left = values - begin;
    const __mmask64 mask = left >= kBytes ? ~0ULL : (1ULL << left) - 1;
    _mm512_mask_storeu_epi8(target + begin, mask, bytes);
  }
}
#endif

constexpr KernelFor<Kernel> kKernels[] = {
    {InstructionSet::kPortable, {horizontal_portable, vertical_portable}},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, {horizontal_avx2, vertical_avx2}},
    {InstructionSet::kAvx512, {horizontal_avx512, vertical_avx512}},
#endif
};

/// Rows of the result whose rows between the passes take more are made one after another: an image
/// of one column and a million rows is two kilobytes.
constexpr std::size_t kMostPlaneBytes = std::size_t{32} << 20;

/// Rows between the passes, each of `stride` bytes, of which the first are pixels.
struct Plane {
  Plane(std::size_t rows, std::size_t width)
      // Beyond the pixels lies at least the one byte that a horizontal kernel writes there.
      : stride((width * 3 / kAlignment + 1) * kAlignment),
        bytes(std::make_unique_for_overwrite<std::uint8_t[]>(rows * stride)) {}

  std::uint8_t* row(std::size_t y) { return bytes.get() + y * stride; }

  std::size_t stride;
  std::unique_ptr<std::uint8_t[]> bytes;
};

/// Rows [top, top + rows) of the image, their columns resized.
Plane resize_columns(const Image& image, const ResizedRegion& region, std::size_t top,
                     std::size_t rows, const Kernel& kernel) {
  Plane plane(rows, region.width);
  const auto width = static_cast<std::size_t>(image.width);
  const std::size_t row_bytes = width * 3;
  const std::uint8_t* source = image.rgb.data() + top * row_bytes;
  if (region.full_width == width) {  // Pillow skips a pass that changes nothing
    for (std::size_t y = 0; y < rows; ++y) {
      std::memcpy(plane.row(y), source + y * row_bytes + region.left * 3, region.width * 3);
    }
    return plane;
  }
  const Axis axis = make_axis(width, region.full_width, region.left, region.width);
  // Rows so near the end of the image that a kernel would read beyond it are copied first.
  const std::uint8_t* end = image.rgb.data() + image.rgb.size();
  std::vector<std::uint8_t> copies;
  for (std::size_t begin = 0; begin < rows; begin += kRowsAtATime) {
    SourceRows sources;
    TargetRows targets;
    for (std::size_t i = 0; i < kRowsAtATime; ++i) {
      const std::size_t y = std::min(begin + i, rows - 1);  // the last row as often as is needed
      sources[i] = source + y * row_bytes;
      targets[i] = plane.row(y);
      if (static_cast<std::size_t>(end - sources[i]) < row_bytes + kReadBehind) {
        copies.resize(kRowsAtATime * (row_bytes + kReadBehind));
        std::uint8_t* copy = &copies[i * (row_bytes + kReadBehind)];
        std::memcpy(copy, sources[i], row_bytes);
        sources[i] = copy;
      }
    }
    kernel.horizontal(axis, sources, targets);
  }
  return plane;
}

}  // namespace

void resize_bicubic(const Image& image, const ResizedRegion& region, std::uint8_t* target,
                    std::size_t stride, InstructionSet instruction_set) {
  const Kernel kernel = choose_kernel(kKernels, instruction_set);
  const auto height = static_cast<std::size_t>(image.height);
  const std::size_t values = region.width * 3;
  if (region.full_height == height) {
    Plane plane = resize_columns(image, region, region.top, region.height, kernel);
    for (std::size_t y = 0; y < region.height; ++y) {
      std::memcpy(target + y * stride, plane.row(y), values);
    }
    return;
  }
  const Axis axis = make_axis(height, region.full_height, region.top, region.height);
  const auto bottom_of = [&](std::size_t y) {
    return axis.windows[y].first + axis.windows[y].taps;
  };
  for (std::size_t begin = 0; begin < region.height;) {
    const std::size_t top = axis.windows[begin].first;
    std::size_t end = begin + 1;
    while (end < region.height && (bottom_of(end) - top) * values <= kMostPlaneBytes) ++end;
    Plane plane = resize_columns(image, region, top, bottom_of(end - 1) - top, kernel);
    for (std::size_t y = begin; y < end; ++y) {
      const Window& window = axis.windows[y];
      kernel.vertical(axis, window, plane.row(window.first - top), plane.stride, values,
                      target + y * stride);
    }
    begin = end;
  }
}

}  // namespace vitrine::encoder
