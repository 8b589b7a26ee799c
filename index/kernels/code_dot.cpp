#include "index/kernels/code_dot.h"

#include <algorithm>

#include "base/kernel_choice.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine::index {
namespace {

/// Rows whose sums are added up together. One row is read after another: read side by side they
/// keep the CPU from fetching ahead, at less than half the speed.
constexpr std::size_t kRowsAtATime = 4;
/// Bytes: the CPU itself does not fetch short rows far enough ahead.
constexpr std::size_t kAhead = 2048;

/// Rows begin at the same places of both tables; of kWhole dots only is lower read.
struct Tables {
  const std::uint8_t* upper;
  const std::uint8_t* lower;
};

// Each instruction set has dot_four_* and dot_one_*<kWhole>(query, tables, begins, width, out), for
// four rows and for one.

template <std::size_t kRows, bool kWhole>
void dot_portable(const std::int8_t* query, const Tables& tables, const std::size_t* begins,
                  std::size_t width, std::int32_t* out) {
  const auto product = [&](const std::uint8_t* row) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < width; i += kCodeAlignment) {
      const std::int8_t* weights = query + 2 * i;
      for (std::size_t j = 0; j < kCodeAlignment; ++j) {
        const std::uint8_t both = row[i + j];
        sum += weights[j] * (both & 15) + weights[kCodeAlignment + j] * (both >> 4);
      }
    }
    return sum;
  };
  for (std::size_t r = 0; r < kRows; ++r) {
    out[r] = product(tables.upper + begins[r]);
    if constexpr (kWhole) out[r] = 16 * out[r] + product(tables.lower + begins[r]);
  }
}

inline bool reaches(const ProductBound& bound, std::int32_t product, float scale, float error) {
  const auto part = static_cast<float>(2 * product - bound.bias);
  return bound.base + scale * bound.factor * part + (bound.length * error + bound.slack) >=
         bound.enough;
}

std::uint64_t reaching_portable(const ProductBound& bound, const std::int32_t* products,
                                const float* scales, const float* errors, std::size_t count) {
  std::uint64_t reaching = 0;
  for (std::size_t i = 0; i < count; ++i) {
    reaching |= std::uint64_t{reaches(bound, products[i], scales[i], errors[i])} << i;
  }
  return reaching;
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2")))
#define VITRINE_VNNI __attribute__((target("avx512f,avx512bw,avx512vnni,avx2")))

VITRINE_AVX2 inline __m128i sum_of_halves(__m256i lanes) {
  return _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
}

/// Stores the sum of each row's four lanes.
VITRINE_AVX2 inline void store_four(__m128i first, __m128i second, __m128i third, __m128i fourth,
                                    std::int32_t* out) {
  const __m128i sums = _mm_hadd_epi32(_mm_hadd_epi32(first, second), _mm_hadd_epi32(third, fourth));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), sums);
}

VITRINE_AVX2 inline void store_one(__m128i lanes, std::int32_t* out) {
  const __m128i pairs = _mm_hadd_epi32(lanes, lanes);
  *out = _mm_cvtsi128_si32(_mm_hadd_epi32(pairs, pairs));
}

VITRINE_AVX2 inline __m256i load_avx2(const void* at) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

/// Products with kCodeAlignment bytes of a row, eight of which each of the 16-bit sums holds: of at
/// most 15 * 128.
VITRINE_AVX2 inline __m256i products_avx2(const std::int8_t* weights, const std::uint8_t* row) {
  const __m256i four_bits = _mm256_set1_epi8(15);
  __m256i sums = _mm256_setzero_si256();
  for (std::size_t half = 0; half < kCodeAlignment; half += 32) {
    const __m256i both = load_avx2(row + half);
    const __m256i first = _mm256_and_si256(both, four_bits);
    const __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), four_bits);
    sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(first, load_avx2(weights + half)));
    sums = _mm256_add_epi16(
        sums, _mm256_maddubs_epi16(second, load_avx2(weights + kCodeAlignment + half)));
  }
  return sums;
}

/// Four sums, which are the product together.
template <bool kWhole>
VITRINE_AVX2 inline __m128i lanes_avx2(const std::int8_t* query, const Tables& tables,
                                       std::size_t begin, std::size_t width) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i upper_weight = _mm256_set1_epi16(kWhole ? 16 : 1);
  __m256i sum = _mm256_setzero_si256();
  for (std::size_t i = 0; i < width; i += kCodeAlignment) {
    const __m256i upper = products_avx2(query + 2 * i, tables.upper + begin + i);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(upper, upper_weight));
    if constexpr (kWhole) {
      const __m256i lower = products_avx2(query + 2 * i, tables.lower + begin + i);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(lower, ones));
    }
  }
  return sum_of_halves(sum);
}

template <bool kWhole>
VITRINE_AVX2 void dot_four_avx2(const std::int8_t* query, const Tables& tables,
                                const std::size_t* begins, std::size_t width, std::int32_t* out) {
  // Not as arguments, whose order is open: rows read backwards are not fetched ahead.
  const __m128i first = lanes_avx2<kWhole>(query, tables, begins[0], width);
  const __m128i second = lanes_avx2<kWhole>(query, tables, begins[1], width);
  const __m128i third = lanes_avx2<kWhole>(query, tables, begins[2], width);
  const __m128i fourth = lanes_avx2<kWhole>(query, tables, begins[3], width);
  store_four(first, second, third, fourth, out);
}

template <bool kWhole>
VITRINE_AVX2 void dot_one_avx2(const std::int8_t* query, const Tables& tables,
                               const std::size_t* begins, std::size_t width, std::int32_t* out) {
  store_one(lanes_avx2<kWhole>(query, tables, begins[0], width), out);
}

VITRINE_AVX2 std::uint64_t reaching_avx2(const ProductBound& bound, const std::int32_t* products,
                                         const float* scales, const float* errors,
                                         std::size_t count) {
  constexpr std::size_t kLanes = 8;
  const __m256 base = _mm256_set1_ps(bound.base);
  const __m256 factor = _mm256_set1_ps(bound.factor);
  const __m256i bias = _mm256_set1_epi32(bound.bias);
  const __m256 length = _mm256_set1_ps(bound.length);
  const __m256 slack = _mm256_set1_ps(bound.slack);
  const __m256 enough = _mm256_set1_ps(bound.enough);
  std::uint64_t reaching = 0;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const __m256i twice = _mm256_slli_epi32(load_avx2(products + i), 1);
    const __m256 part = _mm256_cvtepi32_ps(_mm256_sub_epi32(twice, bias));
    const __m256 score = _mm256_add_ps(
        base, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(scales + i), factor), part));
    const __m256 error = _mm256_add_ps(_mm256_mul_ps(length, _mm256_loadu_ps(errors + i)), slack);
    const __m256 reach = _mm256_cmp_ps(_mm256_add_ps(score, error), enough, _CMP_GE_OQ);
    reaching |= static_cast<std::uint64_t>(_mm256_movemask_ps(reach)) << i;
  }
  return i < count
             ? reaching | reaching_portable(bound, products + i, scales + i, errors + i, count - i)
                              << i
             : reaching;
}

/// Rows of kCodeAlignment bytes, one behind another: the query stays in registers. kPadded: the
/// last quarter of the query is zero, as that of 96 elements is.
template <bool kPadded>
VITRINE_AVX2 void short_rows_avx2(const std::int8_t* query, const std::uint8_t* rows,
                                  std::size_t count, std::int32_t* out) {
  const __m256i four_bits = _mm256_set1_epi8(15);
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i weights[] = {load_avx2(query), load_avx2(query + 32), load_avx2(query + 64),
                             load_avx2(query + 96)};
  for (std::size_t i = 0; i + kRowsAtATime <= count; i += kRowsAtATime) {
    __m128i lanes[kRowsAtATime];
    for (std::size_t r = 0; r < kRowsAtATime; ++r) {
      const std::uint8_t* row = rows + (i + r) * kCodeAlignment;
      __builtin_prefetch(row + kAhead);
      const __m256i low = load_avx2(row);
      const __m256i high = load_avx2(row + 32);
      const __m256i first = _mm256_maddubs_epi16(_mm256_and_si256(low, four_bits), weights[0]);
      const __m256i second = _mm256_maddubs_epi16(_mm256_and_si256(high, four_bits), weights[1]);
      const __m256i third =
          _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(low, 4), four_bits), weights[2]);
      __m256i pairs = _mm256_add_epi16(_mm256_add_epi16(first, second), third);
      if constexpr (!kPadded) {
        const __m256i fourth = _mm256_and_si256(_mm256_srli_epi16(high, 4), four_bits);
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(fourth, weights[3]));
      }
      lanes[r] = sum_of_halves(_mm256_madd_epi16(pairs, ones));
    }
    store_four(lanes[0], lanes[1], lanes[2], lanes[3], out + i);
  }
}

VITRINE_AVX2 void short_rows_avx2(const std::int8_t* query, const std::uint8_t* rows,
                                  std::size_t count, std::int32_t* out) {
  const __m256i last = load_avx2(query + 96);
  if (_mm256_testz_si256(last, last) != 0) {
    short_rows_avx2<true>(query, rows, count, out);
  } else {
    short_rows_avx2<false>(query, rows, count, out);
  }
}

/// Adds products with kCodeAlignment bytes of a row.
VITRINE_VNNI inline __m512i add_products_vnni(__m512i sums, const std::int8_t* weights,
                                              const std::uint8_t* row) {
  const __m512i four_bits = _mm512_set1_epi8(15);
  const __m512i both = _mm512_loadu_si512(row);
  const __m512i first = _mm512_and_si512(both, four_bits);
  const __m512i second = _mm512_and_si512(_mm512_srli_epi16(both, 4), four_bits);
  sums = _mm512_dpbusd_epi32(sums, first, _mm512_loadu_si512(weights));
  return _mm512_dpbusd_epi32(sums, second, _mm512_loadu_si512(weights + kCodeAlignment));
}

// Masked, though by nothing: of the plain forms GCC 12 warns that they use an undefined register.
VITRINE_VNNI inline __m128i sum_of_quarters(__m512i lanes) {
  return sum_of_halves(_mm256_add_epi32(_mm512_maskz_extracti64x4_epi64(0xff, lanes, 0),
                                        _mm512_maskz_extracti64x4_epi64(0xff, lanes, 1)));
}

template <bool kWhole>
VITRINE_VNNI inline __m128i lanes_vnni(const std::int8_t* query, const Tables& tables,
                                       std::size_t begin, std::size_t width) {
  __m512i sum = _mm512_setzero_si512();
  __m512i lower = _mm512_setzero_si512();
  for (std::size_t i = 0; i < width; i += kCodeAlignment) {
    sum = add_products_vnni(sum, query + 2 * i, tables.upper + begin + i);
    if constexpr (kWhole) {
      lower = add_products_vnni(lower, query + 2 * i, tables.lower + begin + i);
    }
  }
  if constexpr (kWhole) sum = _mm512_add_epi32(_mm512_maskz_slli_epi32(0xffff, sum, 4), lower);
  return sum_of_quarters(sum);
}

template <bool kWhole>
VITRINE_VNNI void dot_four_vnni(const std::int8_t* query, const Tables& tables,
                                const std::size_t* begins, std::size_t width, std::int32_t* out) {
  // Not as arguments, whose order is open: rows read backwards are not fetched ahead.
  const __m128i first = lanes_vnni<kWhole>(query, tables, begins[0], width);
  const __m128i second = lanes_vnni<kWhole>(query, tables, begins[1], width);
  const __m128i third = lanes_vnni<kWhole>(query, tables, begins[2], width);
  const __m128i fourth = lanes_vnni<kWhole>(query, tables, begins[3], width);
  store_four(first, second, third, fourth, out);
}

template <bool kWhole>
VITRINE_VNNI void dot_one_vnni(const std::int8_t* query, const Tables& tables,
                               const std::size_t* begins, std::size_t width, std::int32_t* out) {
  store_one(lanes_vnni<kWhole>(query, tables, begins[0], width), out);
}

VITRINE_VNNI void short_rows_vnni(const std::int8_t* query, const std::uint8_t* rows,
                                  std::size_t count, std::int32_t* out) {
  const __m512i four_bits = _mm512_set1_epi8(15);
  const __m512i first_weights = _mm512_loadu_si512(query);
  const __m512i second_weights = _mm512_loadu_si512(query + kCodeAlignment);
  for (std::size_t i = 0; i + kRowsAtATime <= count; i += kRowsAtATime) {
    __m128i lanes[kRowsAtATime];
    for (std::size_t r = 0; r < kRowsAtATime; ++r) {
      const std::uint8_t* row = rows + (i + r) * kCodeAlignment;
      __builtin_prefetch(row + kAhead);
      const __m512i both = _mm512_loadu_si512(row);
      const __m512i first = _mm512_and_si512(both, four_bits);
      const __m512i second = _mm512_and_si512(_mm512_srli_epi16(both, 4), four_bits);
      const __m512i sum =
          _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), first, first_weights),
                              second, second_weights);
      lanes[r] = sum_of_quarters(sum);
    }
    store_four(lanes[0], lanes[1], lanes[2], lanes[3], out + i);
  }
}
#endif

using Dot = void (*)(const std::int8_t*, const Tables&, const std::size_t*, std::size_t,
                     std::int32_t*);

/// Calls the dots of four rows and of one. begin_of(i): where row i begins.
template <Dot kDotFour, Dot kDotOne, class BeginOf>
void over_rows(const std::int8_t* query, const Tables& tables, std::size_t count, std::size_t width,
               std::int32_t* out, BeginOf begin_of) {
  std::size_t i = 0;
  for (; i + kRowsAtATime <= count; i += kRowsAtATime) {
    const std::size_t begins[kRowsAtATime] = {begin_of(i), begin_of(i + 1), begin_of(i + 2),
                                              begin_of(i + 3)};
    kDotFour(query, tables, begins, width, out + i);
  }
  const std::size_t left = count - i;
  if (left == 0) return;
  std::size_t begins[kRowsAtATime] = {begin_of(i), begin_of(count - 1), begin_of(count - 1),
                                      begin_of(count - 1)};
  if (left == 1) return kDotOne(query, tables, begins, width, out + i);
  if (left == 3) begins[1] = begin_of(i + 1);
  std::int32_t sums[kRowsAtATime];  // four together take less time than two alone
  kDotFour(query, tables, begins, width, sums);
  std::copy(sums, sums + left, out + i);
}

/// Of the rows as many as are a multiple of kRowsAtATime.
using ShortRows = void (*)(const std::int8_t*, const std::uint8_t*, std::size_t, std::int32_t*);

using Reaching = std::uint64_t (*)(const ProductBound&, const std::int32_t*, const float*,
                                   const float*, std::size_t);

/// The loops every instruction set shares. kShortRows: null where it would gain nothing.
template <Dot kDotFour, Dot kDotOne, Dot kWholeDotFour, Dot kWholeDotOne, ShortRows kShortRows,
          Reaching kReaching>
constexpr CodeDotKernel make_kernel() {
  return {[](const std::int8_t* query, const std::uint8_t* rows, std::size_t count,
             std::size_t width, std::int32_t* out) {
            if (kShortRows != nullptr && width == kCodeAlignment) {
              kShortRows(query, rows, count, out);
              const std::size_t done = count / kRowsAtATime * kRowsAtATime;
              rows += done * width;
              out += done;
              count -= done;
            }
            over_rows<kDotFour, kDotOne>(query, {rows, nullptr}, count, width, out,
                                         [=](std::size_t i) { return i * width; });
          },
          [](const std::int8_t* query, const std::uint8_t* base, const std::int32_t* places,
             std::size_t count, std::size_t width, std::int32_t* out) {
            over_rows<kDotFour, kDotOne>(
                query, {base, nullptr}, count, width, out,
                [=](std::size_t i) { return static_cast<std::size_t>(places[i]) * width; });
          },
          [](const std::int8_t* query, const std::uint8_t* upper, const std::uint8_t* lower,
             const std::int32_t* places, std::size_t count, std::size_t width, std::int32_t* out) {
            over_rows<kWholeDotFour, kWholeDotOne>(
                query, {upper, lower}, count, width, out,
                [=](std::size_t i) { return static_cast<std::size_t>(places[i]) * width; });
          },
          kReaching};
}

constexpr KernelFor<CodeDotKernel> kKernels[] = {
    {InstructionSet::kPortable,
     make_kernel<dot_portable<4, false>, dot_portable<1, false>, dot_portable<4, true>,
                 dot_portable<1, true>, nullptr, reaching_portable>()},
#if defined(__x86_64__)
    {InstructionSet::kAvx2,
     make_kernel<dot_four_avx2<false>, dot_one_avx2<false>, dot_four_avx2<true>, dot_one_avx2<true>,
                 short_rows_avx2, reaching_avx2>()},
    {InstructionSet::kAvx512Vnni,
     make_kernel<dot_four_vnni<false>, dot_one_vnni<false>, dot_four_vnni<true>, dot_one_vnni<true>,
                 short_rows_vnni, reaching_avx2>()},
#endif
};

}  // namespace

const CodeDotKernel& code_dot_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const CodeDotKernel& code_dot_kernel() {
  static const CodeDotKernel& best = code_dot_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
