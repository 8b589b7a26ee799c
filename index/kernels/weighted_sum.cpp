#include "index/kernels/weighted_sum.h"

#include <algorithm>

#include "base/kernel_choice.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine::index {
namespace {

// Each instruction set has sum_*<elements of a row>.

template <std::size_t kRow>
void sum_portable(const float* weights, const float* rows, std::size_t count, float* out) {
  float sums[kRow] = {};
  for (std::size_t i = 0; i < count; ++i, rows += kRow) {
    for (std::size_t j = 0; j < kRow; ++j) sums[j] += weights[i] * rows[j];
  }
  std::fill(std::copy_n(sums, kRow, out), out + kSummedRow, 0.0F);
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2,fma")))

constexpr std::size_t kLanes = 8;
static_assert(kNarrowSummedRow + kLanes == kSummedRow);

template <std::size_t kRow>
VITRINE_AVX2 inline void add_row_avx2(float weight, const float* row, __m256* sums) {
  const __m256 weights = _mm256_set1_ps(weight);
#pragma GCC unroll 4
  for (std::size_t v = 0; v < kRow / kLanes; ++v) {
    sums[v] = _mm256_fmadd_ps(weights, _mm256_loadu_ps(row + v * kLanes), sums[v]);
  }
}

template <std::size_t kRow>
VITRINE_AVX2 void sum_avx2(const float* weights, const float* rows, std::size_t count, float* out) {
  // Of rows in turn: enough independent sums to hide the latency of an addition.
  constexpr std::size_t kVectors = kRow / kLanes;
  constexpr std::size_t kTurns = kVectors < 4 ? 3 : 2;
  __m256 sums[kTurns][kVectors];
#pragma GCC unroll 3
  for (auto& of_turn : sums) {
#pragma GCC unroll 4
    for (__m256& sum : of_turn) sum = _mm256_setzero_ps();
  }
  std::size_t i = 0;
  for (; i + kTurns <= count; i += kTurns) {
#pragma GCC unroll 3
    for (std::size_t turn = 0; turn < kTurns; ++turn) {
      add_row_avx2<kRow>(weights[i + turn], rows + (i + turn) * kRow, sums[turn]);
    }
  }
  for (; i < count; ++i) add_row_avx2<kRow>(weights[i], rows + i * kRow, sums[0]);
#pragma GCC unroll 4
  for (std::size_t v = 0; v < kVectors; ++v) {
#pragma GCC unroll 3
    for (std::size_t turn = 1; turn < kTurns; ++turn) {
      sums[0][v] = _mm256_add_ps(sums[0][v], sums[turn][v]);
    }
    _mm256_storeu_ps(out + v * kLanes, sums[0][v]);
  }
  if constexpr (kRow < kSummedRow) _mm256_storeu_ps(out + kRow, _mm256_setzero_ps());
}

#define VITRINE_AVX512 __attribute__((target("avx512f,fma")))

constexpr std::size_t kWideLanes = 16;
constexpr std::size_t kWideVectors = kSummedRow / kWideLanes;

VITRINE_AVX512 inline void add_row_avx512(float weight, const float* row,
                                          __m512 sums[kWideVectors]) {
  const __m512 weights = _mm512_set1_ps(weight);
  for (std::size_t v = 0; v < kWideVectors; ++v) {
    sums[v] = _mm512_fmadd_ps(weights, _mm512_loadu_ps(row + v * kWideLanes), sums[v]);
  }
}

VITRINE_AVX512 void sum_avx512(const float* weights, const float* rows, std::size_t count,
                               float* out) {
  constexpr std::size_t kTurns = 4;
  __m512 sums[kTurns][kWideVectors];
  for (auto& of_turn : sums) {
    for (__m512& sum : of_turn) sum = _mm512_setzero_ps();
  }
  std::size_t i = 0;
  for (; i + kTurns <= count; i += kTurns) {
    for (std::size_t turn = 0; turn < kTurns; ++turn) {
      add_row_avx512(weights[i + turn], rows + (i + turn) * kSummedRow, sums[turn]);
    }
  }
  for (; i < count; ++i) add_row_avx512(weights[i], rows + i * kSummedRow, sums[0]);
  for (std::size_t v = 0; v < kWideVectors; ++v) {
    _mm512_storeu_ps(out + v * kWideLanes, _mm512_add_ps(_mm512_add_ps(sums[0][v], sums[1][v]),
                                                         _mm512_add_ps(sums[2][v], sums[3][v])));
  }
}

/// Two rows fill three registers, of which the second has the end of one and the begin of the
/// other.
constexpr std::size_t kNarrowRegisters = 3;
static_assert(kNarrowRegisters * kWideLanes == 2 * kNarrowSummedRow);

VITRINE_AVX512 inline void add_narrow_rows_avx512(const float* weights, const float* rows,
                                                  __m512 sums[kNarrowRegisters]) {
  const __m512 of_first = _mm512_set1_ps(weights[0]);
  const __m512 of_second = _mm512_set1_ps(weights[1]);
  const __m512 of_both = _mm512_maskz_shuffle_f32x4(0xffff, of_first, of_second, 0x44);
  sums[0] = _mm512_fmadd_ps(of_first, _mm512_loadu_ps(rows), sums[0]);
  sums[1] = _mm512_fmadd_ps(of_both, _mm512_loadu_ps(rows + kWideLanes), sums[1]);
  sums[2] = _mm512_fmadd_ps(of_second, _mm512_loadu_ps(rows + 2 * kWideLanes), sums[2]);
}

VITRINE_AVX512 void narrow_sum_avx512(const float* weights, const float* rows, std::size_t count,
                                      float* out) {
  __m512 even[kNarrowRegisters];
  __m512 odd[kNarrowRegisters];
#pragma GCC unroll 3
  for (std::size_t v = 0; v < kNarrowRegisters; ++v) even[v] = odd[v] = _mm512_setzero_ps();
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    add_narrow_rows_avx512(weights + i, rows + i * kNarrowSummedRow, even);
    add_narrow_rows_avx512(weights + i + 2, rows + (i + 2) * kNarrowSummedRow, odd);
  }
  for (; i + 2 <= count; i += 2) {
    add_narrow_rows_avx512(weights + i, rows + i * kNarrowSummedRow, even);
  }
  __m256 halves[2 * kNarrowRegisters];
#pragma GCC unroll 3
  for (std::size_t v = 0; v < kNarrowRegisters; ++v) {
    // Masked, though by nothing: of the plain forms GCC 12 warns that they use an undefined
    // register.
    const __m512d sums = _mm512_castps_pd(_mm512_add_ps(even[v], odd[v]));
    halves[2 * v] = _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xf, sums, 0));
    halves[2 * v + 1] = _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xf, sums, 1));
  }
#pragma GCC unroll 3
  for (std::size_t v = 0; v < kNarrowRegisters; ++v) {
    __m256 sum = _mm256_add_ps(halves[v], halves[v + kNarrowRegisters]);
    if (i < count) {
      const float* last = rows + i * kNarrowSummedRow + v * kLanes;
      sum = _mm256_fmadd_ps(_mm256_set1_ps(weights[i]), _mm256_loadu_ps(last), sum);
    }
    _mm256_storeu_ps(out + v * kLanes, sum);
  }
  _mm256_storeu_ps(out + kNarrowSummedRow, _mm256_setzero_ps());
}
#endif

constexpr KernelFor<WeightedSumKernel> kKernels[] = {
    {InstructionSet::kPortable, {sum_portable<kSummedRow>, sum_portable<kNarrowSummedRow>}},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, {sum_avx2<kSummedRow>, sum_avx2<kNarrowSummedRow>}},
    {InstructionSet::kAvx512, {sum_avx512, narrow_sum_avx512}},
#endif
};

}  // namespace

const WeightedSumKernel& weighted_sum_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const WeightedSumKernel& weighted_sum_kernel() {
  static const WeightedSumKernel& best = weighted_sum_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
