#include "index/kernels/hit_keys.h"

#include <array>

#include "base/kernel_choice.h"
#include "index/hit_key.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine::index {
namespace {

std::size_t keys_portable(const float* scores, const std::int32_t* rows, std::size_t count,
                          float enough, std::int32_t tag, std::int64_t* keys) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    keys[kept] = HitKey::of({scores[i], rows[i]}) + tag;
    kept += scores[i] >= enough ? 1 : 0;
  }
  return kept;
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2,popcnt")))

constexpr std::size_t kKeys = 4;  // of a register

/// For each set of a register's keys, its halves in the order that brings those to the front.
constexpr auto kOrders = [] {
  std::array<std::array<std::int32_t, 2 * kKeys>, 1 << kKeys> orders = {};
  for (std::size_t set = 0; set < orders.size(); ++set) {
    std::size_t kept = 0;
    for (std::size_t key = 0; key < kKeys; ++key) {
      if ((set >> key & 1) == 0) continue;
      orders[set][kept++] = static_cast<std::int32_t>(2 * key);
      orders[set][kept++] = static_cast<std::int32_t>(2 * key + 1);
    }
  }
  return orders;
}();

/// Writes the keys of a set, and what happens to be in other lanes. Returns how many they are.
VITRINE_AVX2 inline std::size_t store_set_avx2(__m256i four, unsigned set, std::int64_t* keys) {
  const __m256i order = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kOrders[set].data()));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(keys), _mm256_permutevar8x32_epi32(four, order));
  return static_cast<std::size_t>(_mm_popcnt_u32(set));
}

VITRINE_AVX2 std::size_t keys_avx2(const float* scores, const std::int32_t* rows, std::size_t count,
                                   float enough, std::int32_t tag, std::int64_t* keys) {
  const __m256 limit = _mm256_set1_ps(enough);
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  // Below the score lies twice the distance from the largest row, and the tag.
  const __m256i first_row = _mm256_set1_epi32(tag - 2);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; i += kHitKeysBlock) {
    const __m256 score = _mm256_add_ps(_mm256_loadu_ps(scores + i), _mm256_setzero_ps());  // no -0
    const __m256i row = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows + i));
    auto set = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(score, limit, _CMP_GE_OQ)));
    if (count - i < kHitKeysBlock) set &= (1U << (count - i)) - 1;
    const __m256i bits = _mm256_castps_si256(score);
    const __m256i ordered =
        _mm256_xor_si256(bits, _mm256_and_si256(_mm256_srai_epi32(bits, 31), magnitude));
    const __m256i below = _mm256_sub_epi32(first_row, _mm256_add_epi32(row, row));
    // Rows 0, 1, 4, 5 and rows 2, 3, 6, 7.
    kept += store_set_avx2(_mm256_unpacklo_epi32(below, ordered), (set & 3) | (set >> 2 & 12),
                           keys + kept);
    kept += store_set_avx2(_mm256_unpackhi_epi32(below, ordered), (set >> 2 & 3) | (set >> 4 & 12),
                           keys + kept);
  }
  return kept;
}
#endif

constexpr KernelFor<HitKeysKernel> kKernels[] = {
    {InstructionSet::kPortable, {keys_portable}},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, {keys_avx2}},
#endif
};

}  // namespace

const HitKeysKernel& hit_keys_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const HitKeysKernel& hit_keys_kernel() {
  static const HitKeysKernel& best = hit_keys_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
