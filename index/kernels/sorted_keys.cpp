#include "index/kernels/sorted_keys.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/kernel_choice.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine::index {
namespace {

void insert_portable(std::int64_t* keys, std::size_t size, std::int64_t* added, std::size_t count) {
  for (const std::int64_t key : std::span(added, count)) {
    if (key <= keys[size - 1]) continue;
    std::size_t at = size - 1;
    for (; at > 0 && keys[at - 1] < key; --at) keys[at] = keys[at - 1];
    keys[at] = key;
  }
}

std::uint64_t odd_portable(const std::int64_t* keys, std::size_t size) {
  std::uint64_t odd = 0;
  for (std::size_t i = 0; i < size; ++i) odd |= static_cast<std::uint64_t>(keys[i] & 1) << i;
  return odd;
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2")))

constexpr std::size_t kMostBlocks = 8;  // that registers have room for

/// With a key at hand, keys[i] becomes the larger one of itself and of the smaller one of the key
/// and keys[i - 1]: all at once, in registers. What this pushes out takes the key's place.
/// kLast: nothing comes behind these blocks.
template <std::size_t kBlocks, bool kLast>
VITRINE_AVX2 void insert_into_blocks_avx2(std::int64_t* keys, std::int64_t* added,
                                          std::size_t count) {
  // Unrolled, so that no compiler takes these loops for copies of memory, by way of the stack.
  __m256i blocks[kBlocks];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlocks; ++i) {
    blocks[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys) + i);
  }
  for (std::size_t n = 0; n < count; ++n) {
    const __m256i key = _mm256_set1_epi64x(added[n]);
    __m256i last = key;  // what comes before a block, in its first lane
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kBlocks; ++i) {
      const __m256i turned = _mm256_permute4x64_epi64(blocks[i], _MM_SHUFFLE(2, 1, 0, 3));
      const __m256i before = _mm256_blend_epi32(turned, last, 0x03);
      last = turned;
      const __m256i smaller = _mm256_blendv_epi8(before, key, _mm256_cmpgt_epi64(before, key));
      blocks[i] = _mm256_blendv_epi8(smaller, blocks[i], _mm256_cmpgt_epi64(blocks[i], smaller));
    }
    if constexpr (!kLast) {
      const __m256i out = _mm256_blendv_epi8(last, key, _mm256_cmpgt_epi64(last, key));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(added + n), _mm256_castsi256_si128(out));
    }
  }
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlocks; ++i) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(keys) + i, blocks[i]);
  }
}

void insert_avx2(std::int64_t* keys, std::size_t size, std::int64_t* added, std::size_t count) {
  using Insert = void (*)(std::int64_t*, std::int64_t*, std::size_t);
  static constexpr Insert kLastInserts[kMostBlocks] = {
      insert_into_blocks_avx2<1, true>, insert_into_blocks_avx2<2, true>,
      insert_into_blocks_avx2<3, true>, insert_into_blocks_avx2<4, true>,
      insert_into_blocks_avx2<5, true>, insert_into_blocks_avx2<6, true>,
      insert_into_blocks_avx2<7, true>, insert_into_blocks_avx2<8, true>};
  std::size_t blocks = size / kSortedKeysBlock;
  for (; blocks > kMostBlocks; blocks -= kMostBlocks) {
    insert_into_blocks_avx2<kMostBlocks, false>(keys, added, count);
    keys += kMostBlocks * kSortedKeysBlock;
  }
  kLastInserts[blocks - 1](keys, added, count);
}

VITRINE_AVX2 std::uint64_t odd_avx2(const std::int64_t* keys, std::size_t size) {
  std::uint64_t odd = 0;
  for (std::size_t i = 0; i < size; i += kSortedKeysBlock) {
    const __m256i block = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + i));
    const __m256d lowest_bits_first = _mm256_castsi256_pd(_mm256_slli_epi64(block, 63));
    odd |= static_cast<std::uint64_t>(_mm256_movemask_pd(lowest_bits_first)) << i;
  }
  return odd;
}

#define VITRINE_AVX512 __attribute__((target("avx512f")))

// Masked, though by nothing: of the plain forms GCC 12 warns that they use an undefined register.
constexpr __mmask8 kAllLanes = 0xff;
VITRINE_AVX512 inline __m512i larger_avx512(__m512i a, __m512i b) {
  return _mm512_mask_max_epi64(a, kAllLanes, a, b);
}
VITRINE_AVX512 inline __m512i smaller_avx512(__m512i a, __m512i b) {
  return _mm512_mask_min_epi64(a, kAllLanes, a, b);
}

constexpr std::size_t kWideBlock = 8;
constexpr std::size_t kMostWideBlocks = 16;  // for kMostSortedKeys, all in registers
static_assert(kMostWideBlocks * kWideBlock >= kMostSortedKeys);

/// The same in registers twice as wide, which have instructions for the larger and the smaller one.
/// size: of the keys, in so many blocks, the last of which may be half of one.
template <std::size_t kBlocks>
VITRINE_AVX512 void insert_into_blocks_avx512(std::int64_t* keys, std::size_t size,
                                              const std::int64_t* added, std::size_t count) {
  const auto in_last = static_cast<__mmask8>(0xffU >> (kBlocks * kWideBlock - size));
  __m512i blocks[kBlocks];
#pragma GCC unroll 16
  for (std::size_t i = 0; i + 1 < kBlocks; ++i) {
    blocks[i] = _mm512_loadu_si512(keys + i * kWideBlock);
  }
  // What lies beyond the keys is never read: keys only move towards it.
  blocks[kBlocks - 1] = _mm512_maskz_loadu_epi64(in_last, keys + (kBlocks - 1) * kWideBlock);
  for (std::size_t n = 0; n < count; ++n) {
    const __m512i key = _mm512_set1_epi64(added[n]);
    __m512i last = key;  // what comes before a block, in its last lane
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kBlocks; ++i) {
      const __m512i before = _mm512_maskz_alignr_epi64(kAllLanes, blocks[i], last, kWideBlock - 1);
      last = blocks[i];
      blocks[i] = larger_avx512(blocks[i], smaller_avx512(before, key));
    }
  }
#pragma GCC unroll 16
  for (std::size_t i = 0; i + 1 < kBlocks; ++i) {
    _mm512_storeu_si512(keys + i * kWideBlock, blocks[i]);
  }
  _mm512_mask_storeu_epi64(keys + (kBlocks - 1) * kWideBlock, in_last, blocks[kBlocks - 1]);
}

template <std::size_t... kNumbers>
constexpr auto inserts_avx512(std::index_sequence<kNumbers...> /*blocks less one*/) {
  return std::array{insert_into_blocks_avx512<kNumbers + 1>...};
}

void insert_avx512(std::int64_t* keys, std::size_t size, std::int64_t* added, std::size_t count) {
  static constexpr auto kInserts = inserts_avx512(std::make_index_sequence<kMostWideBlocks>());
  kInserts[(size - 1) / kWideBlock](keys, size, added, count);
}
#endif

constexpr KernelFor<SortedKeysKernel> kKernels[] = {
    {InstructionSet::kPortable, {insert_portable, odd_portable}},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, {insert_avx2, odd_avx2}},
    {InstructionSet::kAvx512, {insert_avx512, odd_avx2}},
#endif
};

}  // namespace

const SortedKeysKernel& sorted_keys_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const SortedKeysKernel& sorted_keys_kernel() {
  static const SortedKeysKernel& best = sorted_keys_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
