#pragma once

#if defined(__x86_64__)
#include <immintrin.h>

namespace vitrine::index {

/// The sum of eight numbers.
__attribute__((target("avx2"))) inline float sum_of_lanes(__m256 lanes) {
  __m128 sums = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  sums = _mm_add_ps(sums, _mm_movehl_ps(sums, sums));
  sums = _mm_add_ss(sums, _mm_movehdup_ps(sums));
  return _mm_cvtss_f32(sums);
}

/// The largest of eight numbers.
__attribute__((target("avx2"))) inline float largest_of_lanes(__m256 lanes) {
  __m128 largest = _mm_max_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  largest = _mm_max_ps(largest, _mm_movehl_ps(largest, largest));
  return _mm_cvtss_f32(_mm_max_ss(largest, _mm_movehdup_ps(largest)));
}

}  // namespace vitrine::index
#endif
