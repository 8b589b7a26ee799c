#include "index/kernels/packed_bounds.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <limits>

#include "base/kernel_choice.h"
#include "index/kernels/lanes.h"

namespace vitrine::index {
namespace {

// A row scores between `least` and `most`, but for the slack. The k-th largest `least`, less twice
// the slack, rules out all rows whose `most` is smaller. Finding it among all rows would take
// longer than the scan: rows are dealt out to classes, and the k-th largest of the classes' best is
// hardly smaller where those are some more than k, and never larger.

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr std::size_t kSteps = kPackedRow / kPackedElements;
/// Hits for which a few classes are enough, in registers.
constexpr std::size_t kFewHits = 16;
constexpr std::size_t kFewClasses = 32;
constexpr std::size_t kManyClasses = 128;

constexpr std::size_t kRowsOfGroup = kPackedGroup * kPackedRows;

std::size_t groups_of(const PackedRows& rows) {
  return (rows.count + kRowsOfGroup - 1) / kRowsOfGroup;
}

std::size_t open_portable(const PackedQuery& query, const PackedRows& rows, std::size_t k,
                          std::int32_t* places) {
  float most[kMostPackedRows];
  std::array<float, kManyClasses> best;
  best.fill(kNever);
  for (std::size_t i = 0; i < rows.count; ++i) {
    const PackedBlock& block = rows.blocks[i / kPackedRows];
    const std::size_t row = i % kPackedRows;
    std::int32_t product = 0;
    for (std::size_t j = 0; j < kPackedRow; ++j) {
      product += query.weights.weights[j] *
                 (block.codes[j / kPackedElements][row][j % kPackedElements] - kPackedZero);
    }
    const float score = block.scales[row] * query.weights.step * static_cast<float>(product);
    most[i] = score + block.errors[row];
    float& of_class = best[i % kManyClasses];
    of_class = std::max(of_class, score - block.errors[row]);
  }
  std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(k - 1), best.end(),
                   std::greater<>());
  const float enough = best[k - 1] - 2 * query.slack;
  std::size_t found = 0;
  for (std::size_t i = 0; i < rows.count; ++i) {
    places[found] = static_cast<std::int32_t>(i);
    found += most[i] >= enough ? 1 : 0;
  }
  return found;
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2,fma,popcnt")))
#define VITRINE_VNNI __attribute__((target("avx512f,avx512bw,avx512vnni,popcnt")))

std::int32_t weights_of(const PackedQuery& query, std::size_t step) {
  std::int32_t four;
  std::memcpy(&four, query.weights.weights.data() + step * kPackedElements, sizeof(four));
  return four;
}

// Pairs of products are added up in 16 bits.
constexpr int kMostAvx2 = kMostByteWeight;
static_assert(2 * kMostAvx2 * 255 <= std::numeric_limits<std::int16_t>::max());
constexpr int kMostVnni = 127;

// Each instruction set has a struct of one query, ...Bounds; of() writes what each of its lanes'
// rows scores at most, and returns what they score at least.

constexpr std::size_t kAvx2Lanes = 8;

/// For each set of eight lanes the numbers of those in it, one behind another.
constexpr auto kLanesOfSets = [] {
  std::array<std::array<std::uint8_t, kAvx2Lanes>, 1 << kAvx2Lanes> lanes = {};
  for (std::size_t set = 0; set < lanes.size(); ++set) {
    std::size_t found = 0;
    for (std::size_t lane = 0; lane < kAvx2Lanes; ++lane) {
      if ((set >> lane & 1) != 0) lanes[set][found++] = static_cast<std::uint8_t>(lane);
    }
  }
  return lanes;
}();

struct Avx2Bounds {
  __m256i weights[kSteps];
  __m256i start;  // what codes are too large by
  __m256 step;

  VITRINE_AVX2 explicit Avx2Bounds(const PackedQuery& query)
      : start(_mm256_setzero_si256()), step(_mm256_set1_ps(query.weights.step)) {
    for (std::size_t i = 0; i < kSteps; ++i) {
      weights[i] = _mm256_set1_epi32(weights_of(query, i));
      start =
          _mm256_sub_epi32(start, products(_mm256_set1_epi8(static_cast<char>(kPackedZero)), i));
    }
  }

  VITRINE_AVX2 __m256i products(__m256i codes, std::size_t step_number) const {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, weights[step_number]),
                             _mm256_set1_epi16(1));
  }

  /// Of kAvx2Lanes rows of the block, from `row` on. most: [kPackedRows]
  VITRINE_AVX2 __m256 of(const PackedBlock& block, std::size_t row, float* most) const {
    __m256i sums = start;
#pragma GCC unroll 6
    for (std::size_t i = 0; i < kSteps; ++i) {
      const __m256i some = _mm256_load_si256(reinterpret_cast<const __m256i*>(block.codes[i][row]));
      sums = _mm256_add_epi32(sums, products(some, i));
    }
    const __m256 steps = _mm256_cvtepi32_ps(sums);
    const __m256 scales = _mm256_mul_ps(_mm256_load_ps(block.scales + row), step);
    const __m256 error = _mm256_load_ps(block.errors + row);
    _mm256_store_ps(most + row, _mm256_fmadd_ps(scales, steps, error));
    return _mm256_fmsub_ps(scales, steps, error);
  }
};

/// The k-th largest of the classes' best.
template <std::size_t kVectors>
VITRINE_AVX2 float threshold_avx2(const __m256 best[kVectors], std::size_t k) {
  float each[kVectors * kAvx2Lanes];
  __m256i not_less[kVectors];  // how many are not less than a lane's, its own among them
  for (std::size_t v = 0; v < kVectors; ++v) {
    _mm256_storeu_ps(each + v * kAvx2Lanes, best[v]);
    not_less[v] = _mm256_setzero_si256();
  }
  for (const float value : each) {
    const __m256 other = _mm256_set1_ps(value);
    for (std::size_t v = 0; v < kVectors; ++v) {
      not_less[v] = _mm256_sub_epi32(
          not_less[v], _mm256_castps_si256(_mm256_cmp_ps(other, best[v], _CMP_GE_OQ)));
    }
  }
  const __m256i too_few = _mm256_set1_epi32(static_cast<int>(k) - 1);
  __m256 largest = _mm256_set1_ps(kNever);
  for (std::size_t v = 0; v < kVectors; ++v) {
    const __m256 enough = _mm256_castsi256_ps(_mm256_cmpgt_epi32(not_less[v], too_few));
    largest = _mm256_max_ps(largest, _mm256_blendv_ps(largest, best[v], enough));
  }
  return largest_of_lanes(largest);
}

template <std::size_t kClasses>
VITRINE_AVX2 std::size_t open_classes_avx2(const PackedQuery& query, const PackedRows& rows,
                                           std::size_t k, std::int32_t* places) {
  constexpr std::size_t kVectors = kClasses / kAvx2Lanes;
  constexpr std::size_t kVectorsOfBlock = kPackedRows / kAvx2Lanes;
  constexpr std::size_t kVectorsOfGroup = kPackedGroup * kVectorsOfBlock;
  alignas(32) float most[kMostPackedRows];
  const Avx2Bounds bounds(query);
  __m256 best[kVectors];
  for (__m256& each : best) each = _mm256_set1_ps(kNever);
  const std::size_t groups = groups_of(rows);
  for (std::size_t group = 0; group < groups; ++group) {
    __m256* const best_of_group = best + group % (kClasses / kRowsOfGroup) * kVectorsOfGroup;
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kVectorsOfGroup; ++v) {
      const std::size_t block = group * kPackedGroup + v / kVectorsOfBlock;
      const __m256 least = bounds.of(rows.blocks[block], v % kVectorsOfBlock * kAvx2Lanes,
                                     most + block * kPackedRows);
      // Of a NaN and another number the second is taken.
      best_of_group[v] = _mm256_max_ps(least, best_of_group[v]);
    }
  }
  const __m256 threshold = _mm256_set1_ps(threshold_avx2<kVectors>(best, k) - 2 * query.slack);
  std::size_t found = 0;
  for (std::size_t i = 0; i < rows.count; i += kAvx2Lanes) {
    const auto set = static_cast<unsigned>(
        _mm256_movemask_ps(_mm256_cmp_ps(_mm256_load_ps(most + i), threshold, _CMP_GE_OQ)));
    const __m256i lanes = _mm256_cvtepu8_epi32(
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kLanesOfSets[set].data())));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(places + found),
                        _mm256_add_epi32(lanes, _mm256_set1_epi32(static_cast<int>(i))));
    found += static_cast<std::size_t>(_mm_popcnt_u32(set));
  }
  return found;
}

std::size_t open_avx2(const PackedQuery& query, const PackedRows& rows, std::size_t k,
                      std::int32_t* places) {
  return k <= kFewHits ? open_classes_avx2<kFewClasses>(query, rows, k, places)
                       : open_classes_avx2<kManyClasses>(query, rows, k, places);
}

// Masked, though by nothing: of the plain forms GCC 12 warns that they use an undefined register.
constexpr __mmask16 kAllLanes = 0xffff;

struct VnniBounds {
  __m512i weights[kSteps];
  __m512i start;  // what codes are too large by
  __m512 step;

  VITRINE_VNNI explicit VnniBounds(const PackedQuery& query)
      : step(_mm512_set1_ps(query.weights.step)) {
    __m512i too_large = _mm512_setzero_si512();
    for (std::size_t i = 0; i < kSteps; ++i) {
      weights[i] = _mm512_set1_epi32(weights_of(query, i));
      too_large = _mm512_dpbusd_epi32(too_large, _mm512_set1_epi8(static_cast<char>(kPackedZero)),
                                      weights[i]);
    }
    start = _mm512_sub_epi32(_mm512_setzero_si512(), too_large);
  }

  VITRINE_VNNI __m512i products(const PackedBlock& block) const {
    // Two sums, each of which waits for half as many products.
    __m512i even = start;
    __m512i odd = _mm512_setzero_si512();
#pragma GCC unroll 3
    for (std::size_t i = 0; i < kSteps; i += 2) {
      even = _mm512_dpbusd_epi32(even, _mm512_load_si512(block.codes[i]), weights[i]);
      odd = _mm512_dpbusd_epi32(odd, _mm512_load_si512(block.codes[i + 1]), weights[i + 1]);
    }
    return _mm512_add_epi32(even, odd);
  }

  /// products: of the block. most: [kPackedRows]
  VITRINE_VNNI __m512 of(const PackedBlock& block, __m512i products, float* most) const {
    const __m512 steps = _mm512_maskz_cvtepi32_ps(kAllLanes, products);
    const __m512 scales = _mm512_mul_ps(_mm512_load_ps(block.scales), step);
    const __m512 error = _mm512_load_ps(block.errors);
    _mm512_store_ps(most, _mm512_fmadd_ps(scales, steps, error));
    return _mm512_fmsub_ps(scales, steps, error);
  }
};

/// As threshold_avx2().
template <std::size_t kVectors>
VITRINE_VNNI float threshold_vnni(const __m512 best[kVectors], std::size_t k) {
  float each[kVectors * kPackedRows];
  __m512i not_less[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) {
    _mm512_storeu_ps(each + v * kPackedRows, best[v]);
    not_less[v] = _mm512_setzero_si512();
  }
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kVectors * kPackedRows; ++i) {
    const __m512 other = _mm512_set1_ps(each[i]);
    for (std::size_t v = 0; v < kVectors; ++v) {
      not_less[v] =
          _mm512_mask_add_epi32(not_less[v], _mm512_cmp_ps_mask(other, best[v], _CMP_GE_OQ),
                                not_less[v], _mm512_set1_epi32(1));
    }
  }
  __m512 largest = _mm512_set1_ps(kNever);
  for (std::size_t v = 0; v < kVectors; ++v) {
    const __mmask16 enough =
        _mm512_cmpge_epi32_mask(not_less[v], _mm512_set1_epi32(static_cast<int>(k)));
    largest = _mm512_mask_max_ps(largest, enough, largest, best[v]);
  }
  alignas(64) float lanes[kPackedRows];
  _mm512_store_ps(lanes, largest);
  return largest_of_lanes(_mm256_max_ps(_mm256_load_ps(lanes), _mm256_load_ps(lanes + kAvx2Lanes)));
}

template <std::size_t kClasses>
VITRINE_VNNI std::size_t open_classes_vnni(const PackedQuery& query, const PackedRows& rows,
                                           std::size_t k, std::int32_t* places) {
  constexpr std::size_t kVectors = kClasses / kPackedRows;
  alignas(64) float most[kMostPackedRows];
  const VnniBounds bounds(query);
  __m512 best[kVectors];
  for (__m512& each : best) each = _mm512_set1_ps(kNever);
  // A group's products are begun before the bounds of the last one: a CPU that looks only so far
  // ahead would wait for each group's.
  const std::size_t groups = groups_of(rows);
  __m512i next[kPackedGroup];
  for (std::size_t v = 0; v < kPackedGroup; ++v) next[v] = bounds.products(rows.blocks[v]);
  for (std::size_t group = 0; group < groups; ++group) {
    const PackedBlock* const blocks = rows.blocks + group * kPackedGroup;
    __m512i products[kPackedGroup];
    for (std::size_t v = 0; v < kPackedGroup; ++v) products[v] = next[v];
    if (group + 1 < groups) {
      for (std::size_t v = 0; v < kPackedGroup; ++v) {
        next[v] = bounds.products(blocks[kPackedGroup + v]);
      }
    }
    __m512* const best_of_group = best + group % (kClasses / kRowsOfGroup) * kPackedGroup;
    for (std::size_t v = 0; v < kPackedGroup; ++v) {
      const __m512 least =
          bounds.of(blocks[v], products[v], most + group * kRowsOfGroup + v * kPackedRows);
      // Of a NaN and another number the second is taken.
      best_of_group[v] = _mm512_maskz_max_ps(kAllLanes, least, best_of_group[v]);
    }
  }
  const __m512 threshold = _mm512_set1_ps(threshold_vnni<kVectors>(best, k) - 2 * query.slack);
  __m512i numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  std::size_t found = 0;
  const std::size_t whole = groups * kRowsOfGroup;  // of them; none that is not there is found
#pragma GCC unroll 4
  for (std::size_t i = 0; i < whole; i += kPackedRows) {
    const __mmask16 set = _mm512_cmp_ps_mask(_mm512_load_ps(most + i), threshold, _CMP_GE_OQ);
    // Compressed in a register: into memory takes some CPUs a hundred times as long.
    _mm512_storeu_si512(places + found, _mm512_maskz_compress_epi32(set, numbers));
    found += static_cast<std::size_t>(_mm_popcnt_u32(set));
    numbers = _mm512_add_epi32(numbers, _mm512_set1_epi32(static_cast<int>(kPackedRows)));
  }
  return found;
}

std::size_t open_vnni(const PackedQuery& query, const PackedRows& rows, std::size_t k,
                      std::int32_t* places) {
  return k <= kFewHits ? open_classes_vnni<kFewClasses>(query, rows, k, places)
                       : open_classes_vnni<kManyClasses>(query, rows, k, places);
}
#endif

constexpr KernelFor<PackedBoundsKernel> kKernels[] = {
    {InstructionSet::kPortable, {127, open_portable}},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, {kMostAvx2, open_avx2}},
    {InstructionSet::kAvx512Vnni, {kMostVnni, open_vnni}},
#endif
};

}  // namespace

const PackedBoundsKernel& packed_bounds_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const PackedBoundsKernel& packed_bounds_kernel() {
  static const PackedBoundsKernel& best = packed_bounds_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
