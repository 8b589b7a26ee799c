#pragma once

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

namespace vitrine::index {

/// The sum of eight numbers.
__attribute__((target("avx2"))) inline float sum_of_lanes(__m256 lanes) {
  __m128 sums = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  sums = _mm_add_ps(sums, _mm_movehl_ps(sums, sums));
  sums = _mm_add_ss(sums, _mm_movehdup_ps(sums));
  return _mm_cvtss_f32(sums);
}

__attribute__((target("avx2"))) inline std::int32_t sum_of_lanes(__m256i lanes) {
  __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, _MM_SHUFFLE(1, 0, 3, 2)));
  return _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_shuffle_epi32(sums, 1)));
}

/// The same sums of four times eight numbers, in as many instructions as of two.
__attribute__((target("avx2"))) inline __m128 sums_of_lanes(const __m256 lanes[4]) {
  __m128 halves[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    halves[i] = _mm_add_ps(_mm256_castps256_ps128(lanes[i]), _mm256_extractf128_ps(lanes[i], 1));
  }
  const __m128 first = _mm_add_ps(_mm_unpacklo_ps(halves[0], halves[1]),  // two sums of each
                                  _mm_unpackhi_ps(halves[0], halves[1]));
  const __m128 last =
      _mm_add_ps(_mm_unpacklo_ps(halves[2], halves[3]), _mm_unpackhi_ps(halves[2], halves[3]));
  return _mm_add_ps(_mm_movelh_ps(first, last), _mm_movehl_ps(last, first));
}

/// The largest of eight numbers.
__attribute__((target("avx2"))) inline float largest_of_lanes(__m256 lanes) {
  __m128 largest = _mm_max_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  largest = _mm_max_ps(largest, _mm_movehl_ps(largest, largest));
  return _mm_cvtss_f32(_mm_max_ss(largest, _mm_movehdup_ps(largest)));
}

}  // namespace vitrine::index
#endif
