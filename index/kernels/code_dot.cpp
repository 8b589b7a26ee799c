#include "index/kernels/code_dot.h"

#include <algorithm>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine::index {
namespace {

/// Rows whose sums are added up together. One row is read after another: read side by side they
/// keep the CPU from fetching ahead, at less than half the speed.
constexpr std::size_t kRowsAtATime = 4;

// Each instruction set has dot_*<kRows>(query, rows, width, out), for 4 rows and 1.

template <std::size_t kRows>
void dot_portable(const std::int8_t* query, const std::uint8_t* const* rows, std::size_t width,
                  std::int32_t* out) {
  for (std::size_t r = 0; r < kRows; ++r) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < width; i += kCodeAlignment) {
      const std::int8_t* weights = query + 2 * i;
      for (std::size_t j = 0; j < kCodeAlignment; ++j) {
        const std::uint8_t both = rows[r][i + j];
        sum += weights[j] * (both & 15) + weights[kCodeAlignment + j] * (both >> 4);
      }
    }
    out[r] = sum;
  }
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2")))
#define VITRINE_VNNI __attribute__((target("avx512f,avx512bw,avx512vnni,avx2")))

VITRINE_AVX2 inline __m128i sum_of_halves(__m256i lanes) {
  return _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
}

/// Stores the sums of so many rows' four lanes.
template <std::size_t kRows>
VITRINE_AVX2 inline void store_sums(const __m128i* lanes, std::int32_t* out) {
  if constexpr (kRows == 4) {
    const __m128i sums =
        _mm_hadd_epi32(_mm_hadd_epi32(lanes[0], lanes[1]), _mm_hadd_epi32(lanes[2], lanes[3]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), sums);
  } else {
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m128i pairs = _mm_hadd_epi32(lanes[r], lanes[r]);
      out[r] = _mm_cvtsi128_si32(_mm_hadd_epi32(pairs, pairs));
    }
  }
}

VITRINE_AVX2 inline __m256i load_avx2(const void* at) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

template <std::size_t kRows>
VITRINE_AVX2 void dot_avx2(const std::int8_t* query, const std::uint8_t* const* rows,
                           std::size_t width, std::int32_t* out) {
  const __m256i four_bits = _mm256_set1_epi8(15);
  const __m256i ones = _mm256_set1_epi16(1);
  __m128i lanes[kRows];
  for (std::size_t r = 0; r < kRows; ++r) {
    __m256i sum = _mm256_setzero_si256();
    for (std::size_t i = 0; i < width; i += kCodeAlignment) {
      // Eight products of at most 15 * 128 fit 16 bits.
      __m256i pairs = _mm256_setzero_si256();
      for (std::size_t half = 0; half < kCodeAlignment; half += 32) {
        const std::int8_t* weights = query + 2 * i + half;
        const __m256i both = load_avx2(rows[r] + i + half);
        const __m256i first = _mm256_and_si256(both, four_bits);
        const __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), four_bits);
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(first, load_avx2(weights)));
        pairs = _mm256_add_epi16(pairs,
                                 _mm256_maddubs_epi16(second, load_avx2(weights + kCodeAlignment)));
      }
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    lanes[r] = sum_of_halves(sum);
  }
  store_sums<kRows>(lanes, out);
}

template <std::size_t kRows>
VITRINE_VNNI void dot_vnni(const std::int8_t* query, const std::uint8_t* const* rows,
                           std::size_t width, std::int32_t* out) {
  const __m512i four_bits = _mm512_set1_epi8(15);
  __m128i lanes[kRows];
  for (std::size_t r = 0; r < kRows; ++r) {
    __m512i first_sum = _mm512_setzero_si512();
    __m512i second_sum = _mm512_setzero_si512();
    for (std::size_t i = 0; i < width; i += kCodeAlignment) {
      const __m512i both = _mm512_loadu_si512(rows[r] + i);
      const __m512i first = _mm512_and_si512(both, four_bits);
      const __m512i second = _mm512_and_si512(_mm512_srli_epi16(both, 4), four_bits);
      first_sum = _mm512_dpbusd_epi32(first_sum, first, _mm512_loadu_si512(query + 2 * i));
      second_sum = _mm512_dpbusd_epi32(second_sum, second,
                                       _mm512_loadu_si512(query + 2 * i + kCodeAlignment));
    }
    const __m512i sum = _mm512_add_epi32(first_sum, second_sum);
    // Not the plain extraction: GCC 12 warns of an undefined register in its own header.
    lanes[r] = sum_of_halves(_mm256_add_epi32(_mm512_maskz_extracti64x4_epi64(0xff, sum, 0),
                                              _mm512_maskz_extracti64x4_epi64(0xff, sum, 1)));
  }
  store_sums<kRows>(lanes, out);
}
#endif

using Dot = void (*)(const std::int8_t*, const std::uint8_t* const*, std::size_t, std::int32_t*);

/// The loops every instruction set shares, around its dots of four rows and of one.
template <Dot kDotFour, Dot kDotOne>
struct Loops {
  static void contiguous(const std::int8_t* query, const std::uint8_t* rows, std::size_t count,
                         std::size_t width, std::int32_t* out) {
    over_rows(query, count, width, out, [=](std::size_t i) { return rows + i * width; });
  }

  static void gathered(const std::int8_t* query, const std::uint8_t* base,
                       const std::int32_t* places, std::size_t count, std::size_t width,
                       std::int32_t* out) {
    over_rows(query, count, width, out,
              [=](std::size_t i) { return base + static_cast<std::size_t>(places[i]) * width; });
  }

 private:
  template <class RowAt>
  static void over_rows(const std::int8_t* query, std::size_t count, std::size_t width,
                        std::int32_t* out, RowAt row_at) {
    std::size_t i = 0;
    for (; i + kRowsAtATime <= count; i += kRowsAtATime) {
      const std::uint8_t* rows[kRowsAtATime] = {row_at(i), row_at(i + 1), row_at(i + 2),
                                                row_at(i + 3)};
      kDotFour(query, rows, width, out + i);
    }
    const std::size_t left = count - i;
    if (left == 0) return;
    const std::uint8_t* rows[kRowsAtATime] = {row_at(i), row_at(count - 1), row_at(count - 1),
                                              row_at(count - 1)};
    if (left == 1) return kDotOne(query, rows, width, out + i);
    if (left == 3) rows[1] = row_at(i + 1);
    std::int32_t sums[kRowsAtATime];  // four together take less time than two alone
    kDotFour(query, rows, width, sums);
    std::copy(sums, sums + left, out + i);
  }
};

template <Dot kDotFour, Dot kDotOne>
constexpr CodeDotKernel make_kernel(std::string_view name) {
  using Kernel = Loops<kDotFour, kDotOne>;
  return {name, Kernel::contiguous, Kernel::gathered};
}

std::vector<CodeDotKernel> find_supported() {
  std::vector<CodeDotKernel> kernels = {make_kernel<dot_portable<4>, dot_portable<1>>("portable")};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    kernels.push_back(make_kernel<dot_avx2<4>, dot_avx2<1>>("avx2"));
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vnni")) {
      kernels.push_back(make_kernel<dot_vnni<4>, dot_vnni<1>>("avx512_vnni"));
    }
  }
#endif
  return kernels;
}

}  // namespace

std::span<const CodeDotKernel> supported_code_dot_kernels() {
  static const std::vector<CodeDotKernel> kernels = find_supported();
  return kernels;
}

const CodeDotKernel& code_dot_kernel() {
  static const CodeDotKernel& best = supported_code_dot_kernels().back();
  return best;
}

}  // namespace vitrine::index
