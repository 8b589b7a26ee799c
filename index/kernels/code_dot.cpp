#include "index/kernels/code_dot.h"

#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine::index {
namespace {

/// Rows whose sums are added up together. One row is read after another: read side by side they
/// keep the CPU from fetching ahead, at less than half the speed.
constexpr std::size_t kRowsAtATime = 4;

// Each instruction set has dot_*<kRows, kQueries>(queries, rows, width, outs), for 4 rows and 1.

template <std::size_t kRows, std::size_t kQueries>
void dot_portable(const std::int8_t* const* queries, const std::uint8_t* const* rows,
                  std::size_t width, std::int32_t* const* outs) {
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t q = 0; q < kQueries; ++q) {
      const std::int8_t* query = queries[q];
      const std::uint8_t* row = rows[r];
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < width; ++i) sum += query[i] * row[i];
      outs[q][r] = sum;
    }
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

template <std::size_t kRows, std::size_t kQueries>
VITRINE_AVX2 void dot_avx2(const std::int8_t* const* queries, const std::uint8_t* const* rows,
                           std::size_t width, std::int32_t* const* outs) {
  __m128i lanes[kQueries][kRows];
  for (std::size_t r = 0; r < kRows; ++r) {
    __m256i sums[kQueries];
    for (__m256i& sum : sums) sum = _mm256_setzero_si256();
    for (std::size_t i = 0; i < width; i += 16) {
      const __m256i codes =
          _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[r] + i)));
      for (std::size_t q = 0; q < kQueries; ++q) {
        const __m256i weights =
            _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(queries[q] + i)));
        sums[q] = _mm256_add_epi32(sums[q], _mm256_madd_epi16(codes, weights));
      }
    }
    for (std::size_t q = 0; q < kQueries; ++q) lanes[q][r] = sum_of_halves(sums[q]);
  }
  for (std::size_t q = 0; q < kQueries; ++q) store_sums<kRows>(lanes[q], outs[q]);
}

template <std::size_t kRows, std::size_t kQueries>
VITRINE_VNNI void dot_vnni(const std::int8_t* const* queries, const std::uint8_t* const* rows,
                           std::size_t width, std::int32_t* const* outs) {
  __m128i lanes[kQueries][kRows];
  for (std::size_t r = 0; r < kRows; ++r) {
    __m512i sums[kQueries];
    for (__m512i& sum : sums) sum = _mm512_setzero_si512();
    for (std::size_t i = 0; i < width; i += 64) {
      const __m512i codes = _mm512_loadu_si512(rows[r] + i);
      for (std::size_t q = 0; q < kQueries; ++q) {
        sums[q] = _mm512_dpbusd_epi32(sums[q], codes, _mm512_loadu_si512(queries[q] + i));
      }
    }
    for (std::size_t q = 0; q < kQueries; ++q) {
      // Not the plain extraction: GCC 12 warns of an undefined register in its own header.
      lanes[q][r] =
          sum_of_halves(_mm256_add_epi32(_mm512_maskz_extracti64x4_epi64(0xff, sums[q], 0),
                                         _mm512_maskz_extracti64x4_epi64(0xff, sums[q], 1)));
    }
  }
  for (std::size_t q = 0; q < kQueries; ++q) store_sums<kRows>(lanes[q], outs[q]);
}
#endif

using Dot = void (*)(const std::int8_t* const*, const std::uint8_t* const*, std::size_t,
                     std::int32_t* const*);

/// The loops every instruction set shares, around its dots of four rows and of one with two queries
/// and with one.
template <Dot kFourByTwo, Dot kOneByTwo, Dot kFourByOne, Dot kOneByOne>
struct Loops {
  static void contiguous(const std::int8_t* high, const std::int8_t* low, const std::uint8_t* rows,
                         std::size_t count, std::size_t width, std::int32_t* high_out,
                         std::int32_t* low_out) {
    const std::int8_t* queries[] = {high, low};
    std::int32_t* outs[] = {high_out, low_out};
    over_rows<kFourByTwo, kOneByTwo>(queries, outs, count, width,
                                     [=](std::size_t i) { return rows + i * width; });
  }

  static void gathered(const std::int8_t* query, const std::uint8_t* base,
                       const std::int32_t* places, std::size_t count, std::size_t width,
                       std::int32_t* out) {
    const std::int8_t* queries[] = {query};
    std::int32_t* outs[] = {out};
    over_rows<kFourByOne, kOneByOne>(queries, outs, count, width, [=](std::size_t i) {
      return base + static_cast<std::size_t>(places[i]) * width;
    });
  }

 private:
  template <Dot kFour, Dot kOne, std::size_t kQueries, class RowAt>
  static void over_rows(const std::int8_t* const (&queries)[kQueries],
                        std::int32_t* (&outs)[kQueries], std::size_t count, std::size_t width,
                        RowAt row_at) {
    std::size_t i = 0;
    for (; i + kRowsAtATime <= count; i += kRowsAtATime) {
      const std::uint8_t* rows[kRowsAtATime] = {row_at(i), row_at(i + 1), row_at(i + 2),
                                                row_at(i + 3)};
      kFour(queries, rows, width, outs);
      for (std::int32_t*& out : outs) out += kRowsAtATime;
    }
    for (; i < count; ++i) {
      const std::uint8_t* row = row_at(i);
      kOne(queries, &row, width, outs);
      for (std::int32_t*& out : outs) ++out;
    }
  }
};

template <Dot kFourByTwo, Dot kOneByTwo, Dot kFourByOne, Dot kOneByOne>
constexpr CodeDotKernel make_kernel(std::string_view name) {
  using Kernel = Loops<kFourByTwo, kOneByTwo, kFourByOne, kOneByOne>;
  return {name, Kernel::contiguous, Kernel::gathered};
}

std::vector<CodeDotKernel> find_supported() {
  std::vector<CodeDotKernel> kernels = {
      make_kernel<dot_portable<4, 2>, dot_portable<1, 2>, dot_portable<4, 1>, dot_portable<1, 1>>(
          "portable")};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    kernels.push_back(
        make_kernel<dot_avx2<4, 2>, dot_avx2<1, 2>, dot_avx2<4, 1>, dot_avx2<1, 1>>("avx2"));
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vnni")) {
      kernels.push_back(make_kernel<dot_vnni<4, 2>, dot_vnni<1, 2>, dot_vnni<4, 1>, dot_vnni<1, 1>>(
          "avx512_vnni"));
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
