#include "index/kernels/inner_product.h"

#include <algorithm>
#include <cstring>

#include "base/kernel_choice.h"
#include "index/kernels/lanes.h"

namespace vitrine::index {
namespace {

/// Rows compared at a time: enough independent sums to hide the latency of an addition.
constexpr std::size_t kRowsAtATime = 4;

/// From any address.
inline float load(const float* at) {
  float value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

// Each instruction set has dot_*<kRows>(query, rows, dim, out), and the functions of a kernel call
// it with kRows 4 and 1. Both instances add each row's products in the same order.

template <std::size_t kRows>
void dot_portable(const float* query, const float* const* rows, std::size_t dim, float* out) {
  constexpr std::size_t kLanes = 8;
  for (std::size_t r = 0; r < kRows; ++r) {
    float sums[kLanes] = {};
    std::size_t i = 0;
    for (; i + kLanes <= dim; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        sums[lane] += query[i + lane] * load(rows[r] + i + lane);
      }
    }
    for (std::size_t lane = 0; i < dim; ++i, ++lane) sums[lane] += query[i] * load(rows[r] + i);
    out[r] =
        ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
  }
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2,fma")))
#define VITRINE_AVX512 __attribute__((target("avx512f")))

template <std::size_t kRows>
__attribute__((target("avx2"))) inline void store_sums(const __m256 lanes[kRows], float* out) {
  if constexpr (kRows == 4) {
    _mm_storeu_ps(out, sums_of_lanes(lanes));
  } else {
    for (std::size_t r = 0; r < kRows; ++r) out[r] = sum_of_lanes(lanes[r]);
  }
}

template <std::size_t kRows>
VITRINE_AVX2 void dot_avx2(const float* query, const float* const* rows, std::size_t dim,
                           float* out) {
  __m256 even[kRows];
  __m256 odd[kRows];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) even[r] = odd[r] = _mm256_setzero_ps();
  std::size_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    const __m256 query_even = _mm256_loadu_ps(query + i);
    const __m256 query_odd = _mm256_loadu_ps(query + i + 8);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      even[r] = _mm256_fmadd_ps(query_even, _mm256_loadu_ps(rows[r] + i), even[r]);
      odd[r] = _mm256_fmadd_ps(query_odd, _mm256_loadu_ps(rows[r] + i + 8), odd[r]);
    }
  }
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) even[r] = _mm256_add_ps(even[r], odd[r]);
  store_sums<kRows>(even, out);
  for (; i < dim; ++i) {
    for (std::size_t r = 0; r < kRows; ++r) {
      out[r] = __builtin_fmaf(query[i], load(rows[r] + i), out[r]);
    }
  }
}

VITRINE_AVX512 inline __m256 sum_of_halves(__m512 lanes) {
  // Masked, though by nothing: of the plain forms GCC 12 warns that they use an undefined register.
  const __m512d pairs = _mm512_castps_pd(lanes);
  return _mm256_add_ps(_mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xf, pairs, 0)),
                       _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xf, pairs, 1)));
}

template <std::size_t kRows>
VITRINE_AVX512 void dot_avx512(const float* query, const float* const* rows, std::size_t dim,
                               float* out) {
  __m512 even[kRows];
  __m512 odd[kRows];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) even[r] = odd[r] = _mm512_setzero_ps();
  std::size_t i = 0;
  for (; i + 32 <= dim; i += 32) {
    const __m512 query_even = _mm512_loadu_ps(query + i);
    const __m512 query_odd = _mm512_loadu_ps(query + i + 16);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      even[r] = _mm512_fmadd_ps(query_even, _mm512_loadu_ps(rows[r] + i), even[r]);
      odd[r] = _mm512_fmadd_ps(query_odd, _mm512_loadu_ps(rows[r] + i + 16), odd[r]);
    }
  }
  for (; i < dim; i += 16) {
    const std::size_t left = dim - i;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffffU : (1U << left) - 1U);
    const __m512 query_tail = _mm512_maskz_loadu_ps(mask, query + i);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) {
      even[r] = _mm512_fmadd_ps(query_tail, _mm512_maskz_loadu_ps(mask, rows[r] + i), even[r]);
    }
  }
  __m256 sums[kRows];
#pragma GCC unroll 4
  for (std::size_t r = 0; r < kRows; ++r) {
    sums[r] = sum_of_halves(_mm512_add_ps(even[r], odd[r]));
  }
  store_sums<kRows>(sums, out);
}
#endif

using Dot = void (*)(const float*, const float* const*, std::size_t, float*);

/// The loops every instruction set shares, around its dot for four rows and for one.
template <Dot kDotFour, Dot kDotOne>
struct Loops {
  static float pair(const float* a, const float* b, std::size_t dim) {
    float out;
    kDotOne(a, &b, dim, &out);
    return out;
  }

  static void contiguous(const float* query, const float* rows, std::size_t count, std::size_t dim,
                         float* out) {
    over_rows(query, count, dim, out, [=](std::size_t i) { return rows + i * dim; });
  }

  static void gathered(const float* query, const float* base, const std::int32_t* row_numbers,
                       std::size_t count, std::size_t dim, float* out) {
    over_rows(query, count, dim, out,
              [=](std::size_t i) { return base + static_cast<std::size_t>(row_numbers[i]) * dim; });
  }

  static void listed(const float* query, const float* const* rows, std::size_t count,
                     std::size_t dim, float* out) {
    over_rows(query, count, dim, out, [=](std::size_t i) { return rows[i]; });
  }

 private:
  template <class RowAt>
  static void over_rows(const float* query, std::size_t count, std::size_t dim, float* out,
                        RowAt row_at) {
    std::size_t i = 0;
    for (; i + kRowsAtATime <= count; i += kRowsAtATime) {
      const float* rows[kRowsAtATime] = {row_at(i), row_at(i + 1), row_at(i + 2), row_at(i + 3)};
      kDotFour(query, rows, dim, out + i);
    }
    if (i + 1 == count) {
      const float* row = row_at(i);
      kDotOne(query, &row, dim, out + i);
    } else if (i < count) {
      // Four together take less time than two or three alone.
      const float* rows[kRowsAtATime];
      float all[kRowsAtATime];
      for (std::size_t r = 0; r < kRowsAtATime; ++r) rows[r] = row_at(std::min(i + r, count - 1));
      kDotFour(query, rows, dim, all);
      std::copy(all, all + (count - i), out + i);
    }
  }
};

template <Dot kDotFour, Dot kDotOne>
constexpr InnerProductKernel kKernel = {
    Loops<kDotFour, kDotOne>::pair, Loops<kDotFour, kDotOne>::contiguous,
    Loops<kDotFour, kDotOne>::gathered, Loops<kDotFour, kDotOne>::listed};

constexpr KernelFor<InnerProductKernel> kKernels[] = {
    {InstructionSet::kPortable, kKernel<dot_portable<kRowsAtATime>, dot_portable<1>>},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, kKernel<dot_avx2<kRowsAtATime>, dot_avx2<1>>},
    {InstructionSet::kAvx512, kKernel<dot_avx512<kRowsAtATime>, dot_avx512<1>>},
#endif
};

}  // namespace

const InnerProductKernel& inner_product_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const InnerProductKernel& inner_product_kernel() {
  static const InnerProductKernel& best = inner_product_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
