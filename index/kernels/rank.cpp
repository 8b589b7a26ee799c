#include "index/kernels/rank.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/kernel_choice.h"
#include "index/kernels/lanes.h"

namespace vitrine::index {
namespace {

// Scores are compared as integers of the same order, in which each pair has one.

void rank_portable(const float* scores, std::size_t count, std::int32_t* ranks) {
  std::int32_t ordered[kMostRanked];
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::int32_t>(scores[i] + 0.0F);  // -0 is 0
    ordered[i] = bits ^ (bits >> 31 & 0x7fffffff);
  }
  for (std::size_t i = 0; i < count; ++i) {
    ranks[i] = 0;
    for (std::size_t j = 0; j < count; ++j) {
      const bool is_better = ordered[j] > ordered[i] || (ordered[j] == ordered[i] && j < i);
      ranks[i] += is_better ? 1 : 0;
    }
  }
  for (std::size_t i = count; i < whole_ranked_sets(count); ++i) {
    ranks[i] = static_cast<std::int32_t>(count);
  }
}

#if defined(__x86_64__)
// A lane counts the scores that are larger than its own. Where no two are equal that is its rank;
// else those that are as large and stand before it are added. Lanes that follow the scores have
// the least of all numbers, so that all scores are larger, and they are larger than none.

constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();
/// Most often there are no more, and half the registers are enough.
constexpr std::size_t kFewScores = 32;

/// The sum over all lanes where no two scores are equal.
constexpr std::int32_t sum_of_ranks(std::size_t count, std::size_t lanes) {
  return static_cast<std::int32_t>(count * (count - 1) / 2 + (lanes - count) * count);
}

// Scores were written four at a time, and only just: what reads no more of them at once need not
// wait until they are in the cache.

#define VITRINE_AVX2 __attribute__((target("avx2")))

VITRINE_AVX2 inline __m256 load_by_fours_avx2(const float* scores) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(scores)),
                              _mm_loadu_ps(scores + 4), 1);
}

template <std::size_t kScores>
VITRINE_AVX2 void rank_some_avx2(const float* scores, std::size_t count, std::int32_t* ranks) {
  constexpr std::size_t kLanes = 8;
  constexpr std::size_t kVectors = kScores / kLanes;
  const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  alignas(32) std::int32_t ordered[kScores];
  __m256i own[kVectors];
  __m256i better[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) {
    const __m256i is_score =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count - v * kLanes)), numbers);
    const __m256i bits = _mm256_castps_si256(
        _mm256_add_ps(load_by_fours_avx2(scores + v * kLanes), _mm256_setzero_ps()));
    own[v] = _mm256_blendv_epi8(
        _mm256_set1_epi32(kLeast),
        _mm256_xor_si256(bits, _mm256_srli_epi32(_mm256_srai_epi32(bits, 31), 1)), is_score);
    _mm256_store_si256(reinterpret_cast<__m256i*>(ordered + v * kLanes), own[v]);
    better[v] = _mm256_setzero_si256();
  }
  for (std::size_t i = 0; i < count; i += kRankedTogether) {
    for (std::size_t j = i; j < i + kRankedTogether; ++j) {
      const __m256i score = _mm256_set1_epi32(ordered[j]);
      for (std::size_t v = 0; v < kVectors; ++v) {
        better[v] = _mm256_sub_epi32(better[v], _mm256_cmpgt_epi32(score, own[v]));
      }
    }
  }
  __m256i sums = better[0];
  for (std::size_t v = 1; v < kVectors; ++v) sums = _mm256_add_epi32(sums, better[v]);
  if (sum_of_lanes(sums) != sum_of_ranks(count, kScores)) {
    for (std::size_t i = 0; i < count; ++i) {
      const __m256i score = _mm256_set1_epi32(ordered[i]);
      for (std::size_t v = 0; v < kVectors; ++v) {
        const __m256i is_after =
            _mm256_cmpgt_epi32(numbers, _mm256_set1_epi32(static_cast<int>(i - v * kLanes)));
        better[v] = _mm256_sub_epi32(better[v],
                                     _mm256_and_si256(is_after, _mm256_cmpeq_epi32(score, own[v])));
      }
    }
  }
  for (std::size_t v = 0; v < kVectors; ++v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(ranks + v * kLanes), better[v]);
  }
}

void rank_avx2(const float* scores, std::size_t count, std::int32_t* ranks) {
  count <= kFewScores ? rank_some_avx2<kFewScores>(scores, count, ranks)
                      : rank_some_avx2<kMostRanked>(scores, count, ranks);
}

#define VITRINE_AVX512 __attribute__((target("avx512f,avx2")))

VITRINE_AVX512 inline __m512 load_by_fours_avx512(const float* scores) {
  const __m512 low = _mm512_castps256_ps512(load_by_fours_avx2(scores));
  const __m256 high = load_by_fours_avx2(scores + 8);
  return _mm512_castpd_ps(
      _mm512_maskz_insertf64x4(0xff, _mm512_castps_pd(low), _mm256_castps_pd(high), 1));
}

/// Of the lanes from the first-th on, those of what precedes the count-th.
constexpr __mmask16 lanes_before(std::size_t count, std::size_t first) {
  const std::size_t lanes = count <= first ? 0 : std::min<std::size_t>(count - first, 16);
  return static_cast<__mmask16>((1U << lanes) - 1);
}

template <std::size_t kScores>
VITRINE_AVX512 void rank_some_avx512(const float* scores, std::size_t count, std::int32_t* ranks) {
  constexpr std::size_t kLanes = 16;
  constexpr std::size_t kVectors = kScores / kLanes;
  // Masked, though by nothing: of the plain forms GCC 12 warns that they use an undefined register.
  constexpr __mmask16 kAllLanes = 0xffff;
  const __m512i one = _mm512_set1_epi32(1);
  alignas(64) std::int32_t ordered[kScores];
  __m512i own[kVectors];
  __m512i better[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) {
    const __m512i bits = _mm512_castps_si512(
        _mm512_add_ps(load_by_fours_avx512(scores + v * kLanes), _mm512_setzero_ps()));
    const __m512i signs = _mm512_maskz_srai_epi32(kAllLanes, bits, 31);
    own[v] = _mm512_mask_xor_epi32(_mm512_set1_epi32(kLeast), lanes_before(count, v * kLanes), bits,
                                   _mm512_maskz_srli_epi32(kAllLanes, signs, 1));
    _mm512_store_si512(ordered + v * kLanes, own[v]);
    better[v] = _mm512_setzero_si512();
  }
  for (std::size_t i = 0; i < count; i += kRankedTogether) {
    for (std::size_t j = i; j < i + kRankedTogether; ++j) {
      const __m512i score = _mm512_set1_epi32(ordered[j]);
      for (std::size_t v = 0; v < kVectors; ++v) {
        better[v] = _mm512_mask_add_epi32(better[v], _mm512_cmpgt_epi32_mask(score, own[v]),
                                          better[v], one);
      }
    }
  }
  __m512i sums = better[0];
  for (std::size_t v = 1; v < kVectors; ++v) sums = _mm512_add_epi32(sums, better[v]);
  alignas(64) std::int32_t lanes[kLanes];
  _mm512_store_si512(lanes, sums);
  const auto* halves = reinterpret_cast<const __m256i*>(lanes);
  if (sum_of_lanes(_mm256_add_epi32(_mm256_load_si256(halves), _mm256_load_si256(halves + 1))) !=
      sum_of_ranks(count, kScores)) {
    for (std::size_t i = 0; i < count; ++i) {
      const __m512i score = _mm512_set1_epi32(ordered[i]);
      for (std::size_t v = 0; v < kVectors; ++v) {
        const auto is_after = static_cast<__mmask16>(~lanes_before(i + 1, v * kLanes));
        better[v] = _mm512_mask_add_epi32(
            better[v], _mm512_mask_cmpeq_epi32_mask(is_after, score, own[v]), better[v], one);
      }
    }
  }
  for (std::size_t v = 0; v < kVectors; ++v) {
    _mm512_storeu_si512(ranks + v * kLanes, better[v]);
  }
}

void rank_avx512(const float* scores, std::size_t count, std::int32_t* ranks) {
  count <= kFewScores ? rank_some_avx512<kFewScores>(scores, count, ranks)
                      : rank_some_avx512<kMostRanked>(scores, count, ranks);
}
#endif

constexpr KernelFor<RankKernel> kKernels[] = {
    {InstructionSet::kPortable, {rank_portable}},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, {rank_avx2}},
    {InstructionSet::kAvx512, {rank_avx512}},
#endif
};

}  // namespace

const RankKernel& rank_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const RankKernel& rank_kernel() {
  static const RankKernel& best = rank_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
