#include "index/kernels/table_sum.h"

#include "base/kernel_choice.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine::index {
namespace {

std::uint32_t sum_portable(const std::uint8_t* tables, const std::uint8_t* block, std::size_t pairs,
                           std::uint16_t least, std::uint16_t* sums) {
  for (std::size_t v = 0; v < kBlockVectors; ++v) sums[v] = 0;
  for (std::size_t table = 0; table < 2 * pairs; ++table) {
    const std::uint8_t* entries = tables + table * kTableEntries;
    const std::uint8_t* codes = block + table * 16;
    for (std::size_t v = 0; v < 16; ++v) {
      sums[v] = static_cast<std::uint16_t>(sums[v] + entries[codes[v] & 15]);
      sums[v + 16] = static_cast<std::uint16_t>(sums[v + 16] + entries[codes[v] >> 4]);
    }
  }
  std::uint32_t enough = 0;
  for (std::size_t v = 0; v < kBlockVectors; ++v) {
    enough |= static_cast<std::uint32_t>(sums[v] >= least) << v;
  }
  return enough;
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2")))
#define VITRINE_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2")))

// Bytes are looked up side by side and summed in lanes of 16 bits. One sum takes each lane as it
// is, the byte of an odd vector counting 256 times, and wraps around; another takes the odd bytes
// alone. The even ones are what is left of the first, modulo 2^16.

/// Eight sums of even and eight of odd vectors, in the order of the vectors.
VITRINE_AVX2 inline __m256i in_order(__m128i even, __m128i odd) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi16(even, odd)),
                                 _mm_unpackhi_epi16(even, odd), 1);
}

VITRINE_AVX2 inline __m128i sum_of_halves(__m256i lanes) {
  return _mm_add_epi16(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
}

/// both, odd: of 16 vectors, the two halves being of different tables.
VITRINE_AVX2 inline __m256i finish(__m256i both, __m256i odd) {
  const __m256i even = _mm256_sub_epi16(both, _mm256_slli_epi16(odd, 8));
  return in_order(sum_of_halves(even), sum_of_halves(odd));
}

/// first, last: the sums of vectors 0 to 15 and 16 to 31.
VITRINE_AVX2 inline std::uint32_t store(__m256i first, __m256i last, std::uint16_t least,
                                        std::uint16_t* sums) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), first);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 16), last);
  const __m256i bound = _mm256_set1_epi16(static_cast<short>(least));
  const __m256i first_enough = _mm256_cmpeq_epi16(_mm256_max_epu16(first, bound), first);
  const __m256i last_enough = _mm256_cmpeq_epi16(_mm256_max_epu16(last, bound), last);
  const __m256i enough =
      _mm256_permute4x64_epi64(_mm256_packs_epi16(first_enough, last_enough), 0xd8);
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(enough));
}

VITRINE_AVX2 std::uint32_t sum_avx2(const std::uint8_t* tables, const std::uint8_t* block,
                                    std::size_t pairs, std::uint16_t least, std::uint16_t* sums) {
  const __m256i low_bits = _mm256_set1_epi8(15);
  __m256i both[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i odd[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    const __m256i entries =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tables + pair * 32));
    const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + pair * 32));
    const __m256i first = _mm256_shuffle_epi8(entries, _mm256_and_si256(codes, low_bits));
    const __m256i last =
        _mm256_shuffle_epi8(entries, _mm256_and_si256(_mm256_srli_epi16(codes, 4), low_bits));
    both[0] = _mm256_add_epi16(both[0], first);
    odd[0] = _mm256_add_epi16(odd[0], _mm256_srli_epi16(first, 8));
    both[1] = _mm256_add_epi16(both[1], last);
    odd[1] = _mm256_add_epi16(odd[1], _mm256_srli_epi16(last, 8));
  }
  return store(finish(both[0], odd[0]), finish(both[1], odd[1]), least, sums);
}

VITRINE_AVX512 inline __m256i sum_of_halves(__m512i lanes) {
  // Not the plain extraction: GCC 12 warns of an undefined register in its own header.
  return _mm256_add_epi16(_mm512_maskz_extracti64x4_epi64(0xff, lanes, 0),
                          _mm512_maskz_extracti64x4_epi64(0xff, lanes, 1));
}

VITRINE_AVX512 std::uint32_t sum_avx512(const std::uint8_t* tables, const std::uint8_t* block,
                                        std::size_t pairs, std::uint16_t least,
                                        std::uint16_t* sums) {
  const __m512i low_bits = _mm512_set1_epi8(15);
  __m512i both[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  __m512i odd[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  for (std::size_t pair = 0; pair < pairs; pair += 2) {
    // Of an odd number of pairs the last has tables of zeros beside it.
    const auto present = static_cast<__mmask8>(pair + 1 < pairs ? 0xff : 0x0f);
    const __m512i entries = _mm512_maskz_loadu_epi64(present, tables + pair * 32);
    const __m512i codes = _mm512_maskz_loadu_epi64(present, block + pair * 32);
    const __m512i first = _mm512_shuffle_epi8(entries, _mm512_and_si512(codes, low_bits));
    const __m512i last =
        _mm512_shuffle_epi8(entries, _mm512_and_si512(_mm512_srli_epi16(codes, 4), low_bits));
    both[0] = _mm512_add_epi16(both[0], first);
    odd[0] = _mm512_add_epi16(odd[0], _mm512_srli_epi16(first, 8));
    both[1] = _mm512_add_epi16(both[1], last);
    odd[1] = _mm512_add_epi16(odd[1], _mm512_srli_epi16(last, 8));
  }
  return store(finish(sum_of_halves(both[0]), sum_of_halves(odd[0])),
               finish(sum_of_halves(both[1]), sum_of_halves(odd[1])), least, sums);
}
#endif

constexpr KernelFor<TableSumKernel> kKernels[] = {
    {InstructionSet::kPortable, {sum_portable}},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, {sum_avx2}},
    {InstructionSet::kAvx512, {sum_avx512}},
#endif
};

}  // namespace

const TableSumKernel& table_sum_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const TableSumKernel& table_sum_kernel() {
  static const TableSumKernel& best = table_sum_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
