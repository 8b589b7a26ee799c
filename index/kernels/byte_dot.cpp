#include "index/kernels/byte_dot.h"

#include <algorithm>

#include "base/kernel_choice.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine::index {
namespace {

// How a row, and its scale, are found by number.

struct InOrder {
  const std::uint8_t* rows;
  const float* scales = nullptr;

  const std::uint8_t* row(std::size_t i) const { return rows + i * kByteRow; }
  float scale(std::size_t i) const { return scales[i]; }
};

struct ByPlace {
  const std::uint8_t* rows;
  const std::int32_t* places;
  const float* scales = nullptr;

  std::size_t place(std::size_t i) const { return static_cast<std::size_t>(places[i]); }
  const std::uint8_t* row(std::size_t i) const { return rows + place(i) * kByteRow; }
  float scale(std::size_t i) const { return scales[place(i)]; }
};

/// The last row once more in place of each that is not there.
template <class Rows>
struct UpToLast {
  const Rows& some;
  std::size_t last;

  const std::uint8_t* row(std::size_t i) const { return some.row(std::min(i, last)); }
  float scale(std::size_t i) const { return some.scale(std::min(i, last)); }
};

// Each instruction set has products_*(query, rows, count, out) and scores_*(query, score, rows,
// count, out), for rows of either kind.

template <class Rows>
std::int32_t product_portable(const std::int8_t* query, const Rows& rows, std::size_t i) {
  const std::uint8_t* row = rows.row(i);
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < kByteRow; ++j) sum += query[j] * row[j];
  return sum;
}

template <class Rows>
void products_portable(const std::int8_t* query, const Rows& rows, std::size_t count,
                       std::int32_t* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = product_portable(query, rows, i);
}

template <class Rows>
void scores_portable(const std::int8_t* query, const ByteDotScore& score, const Rows& rows,
                     std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = score.of(product_portable(query, rows, i), rows.scale(i));
  }
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2")))

constexpr std::size_t kRowsAtATime = 8;

VITRINE_AVX2 inline __m256i load_avx2(const void* at) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

/// Eight sums, which are the product together.
VITRINE_AVX2 inline __m256i lanes_avx2(__m256i query, const std::uint8_t* row) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(load_avx2(row), query), _mm256_set1_epi16(1));
}

/// The sum of each one's lanes.
VITRINE_AVX2 inline __m256i sums_avx2(const __m256i lanes[kRowsAtATime]) {
  const __m256i first = _mm256_hadd_epi32(_mm256_hadd_epi32(lanes[0], lanes[1]),
                                          _mm256_hadd_epi32(lanes[2], lanes[3]));
  const __m256i second = _mm256_hadd_epi32(_mm256_hadd_epi32(lanes[4], lanes[5]),
                                           _mm256_hadd_epi32(lanes[6], lanes[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(first, second, 0x20),
                          _mm256_permute2x128_si256(first, second, 0x31));
}

/// Of the rows from the first-th on.
template <class Rows>
VITRINE_AVX2 inline __m256i eight_products_avx2(__m256i query, const Rows& rows,
                                                std::size_t first) {
  __m256i lanes[kRowsAtATime];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRowsAtATime; ++r) {
    lanes[r] = lanes_avx2(query, rows.row(first + r));
  }
  return sums_avx2(lanes);
}

template <class Rows>
VITRINE_AVX2 inline __m256 eight_scores_avx2(__m256i query, const ByteDotScore& score,
                                             const Rows& rows, std::size_t first) {
  const __m256i products =
      _mm256_sub_epi32(eight_products_avx2(query, rows, first), _mm256_set1_epi32(score.bias));
  const auto scale = [&](std::size_t r) { return rows.scale(first + r); };
  const __m256 scales = _mm256_setr_ps(scale(0), scale(1), scale(2), scale(3), scale(4), scale(5),
                                       scale(6), scale(7));
  return _mm256_add_ps(_mm256_set1_ps(score.base),
                       _mm256_mul_ps(_mm256_mul_ps(scales, _mm256_set1_ps(score.factor)),
                                     _mm256_cvtepi32_ps(products)));
}

/// Lanes that count, of so few.
VITRINE_AVX2 inline __m256i first_lanes_avx2(std::size_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

template <class Rows>
VITRINE_AVX2 void products_avx2(const std::int8_t* query, const Rows& rows, std::size_t count,
                                std::int32_t* out) {
  const __m256i weights = load_avx2(query);
  std::size_t i = 0;
  for (; i + kRowsAtATime <= count; i += kRowsAtATime) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), eight_products_avx2(weights, rows, i));
  }
  if (i == count) return;
  // Eight together take less time than a few alone.
  _mm256_maskstore_epi32(out + i, first_lanes_avx2(count - i),
                         eight_products_avx2(weights, UpToLast<Rows>{rows, count - 1}, i));
}

template <class Rows>
VITRINE_AVX2 void scores_avx2(const std::int8_t* query, const ByteDotScore& score, const Rows& rows,
                              std::size_t count, float* out) {
  const __m256i weights = load_avx2(query);
  std::size_t i = 0;
  for (; i + kRowsAtATime <= count; i += kRowsAtATime) {
    _mm256_storeu_ps(out + i, eight_scores_avx2(weights, score, rows, i));
  }
  if (i == count) return;
  _mm256_maskstore_ps(out + i, first_lanes_avx2(count - i),
                      eight_scores_avx2(weights, score, UpToLast<Rows>{rows, count - 1}, i));
}
#endif

using ProductsInOrder = void (*)(const std::int8_t*, const InOrder&, std::size_t, std::int32_t*);
using ProductsByPlace = void (*)(const std::int8_t*, const ByPlace&, std::size_t, std::int32_t*);
using ScoresInOrder = void (*)(const std::int8_t*, const ByteDotScore&, const InOrder&, std::size_t,
                               float*);
using ScoresByPlace = void (*)(const std::int8_t*, const ByteDotScore&, const ByPlace&, std::size_t,
                               float*);

template <ProductsInOrder kProductsInOrder, ProductsByPlace kProductsByPlace,
          ScoresInOrder kScoresInOrder, ScoresByPlace kScoresByPlace>
constexpr ByteDotKernel make_kernel() {
  return {[](const std::int8_t* query, const std::uint8_t* rows, std::size_t count,
             std::int32_t* out) { kProductsInOrder(query, {rows}, count, out); },
          [](const std::int8_t* query, const std::uint8_t* base, const std::int32_t* places,
             std::size_t count, std::int32_t* out) {
            kProductsByPlace(query, {base, places}, count, out);
          },
          [](const std::int8_t* query, const ByteDotScore& score, const std::uint8_t* rows,
             const float* scales, std::size_t count, float* out) {
            kScoresInOrder(query, score, {rows, scales}, count, out);
          },
          [](const std::int8_t* query, const ByteDotScore& score, const std::uint8_t* base,
             const float* scales, const std::int32_t* places, std::size_t count, float* out) {
            kScoresByPlace(query, score, {base, places, scales}, count, out);
          }};
}

constexpr KernelFor<ByteDotKernel> kKernels[] = {
    {InstructionSet::kPortable, make_kernel<products_portable<InOrder>, products_portable<ByPlace>,
                                            scores_portable<InOrder>, scores_portable<ByPlace>>()},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, make_kernel<products_avx2<InOrder>, products_avx2<ByPlace>,
                                        scores_avx2<InOrder>, scores_avx2<ByPlace>>()},
#endif
};

}  // namespace

const ByteDotKernel& byte_dot_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const ByteDotKernel& byte_dot_kernel() {
  static const ByteDotKernel& best = byte_dot_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
