#include "index/kernels/byte_dot.h"

#include <algorithm>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine::index {
namespace {

// Each instruction set has products_*(query, count, row_at, out), where row_at(i) is row i.

template <class RowAt>
void products_portable(const std::int8_t* query, std::size_t count, const RowAt& row_at,
                       std::int32_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* row = row_at(i);
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < kByteRow; ++j) sum += query[j] * row[j];
    out[i] = sum;
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

template <class RowAt>
VITRINE_AVX2 void products_avx2(const std::int8_t* query, std::size_t count, const RowAt& row_at,
                                std::int32_t* out) {
  const __m256i weights = load_avx2(query);
  __m256i lanes[kRowsAtATime];
  std::size_t i = 0;
  for (; i + kRowsAtATime <= count; i += kRowsAtATime) {
    for (std::size_t r = 0; r < kRowsAtATime; ++r) lanes[r] = lanes_avx2(weights, row_at(i + r));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), sums_avx2(lanes));
  }
  if (i == count) return;
  // Eight together take less time than a few alone.
  for (std::size_t r = 0; r < kRowsAtATime; ++r) {
    lanes[r] = lanes_avx2(weights, row_at(std::min(i + r, count - 1)));
  }
  std::int32_t sums[kRowsAtATime];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), sums_avx2(lanes));
  std::copy(sums, sums + (count - i), out + i);
}
#endif

std::vector<ByteDotKernel> find_supported() {
  std::vector<ByteDotKernel> kernels = {
      {"portable",
       [](const std::int8_t* query, const std::uint8_t* rows, std::size_t count,
          std::int32_t* out) {
         products_portable(
             query, count, [=](std::size_t i) { return rows + i * kByteRow; }, out);
       },
       [](const std::int8_t* query, const std::uint8_t* base, const std::int32_t* places,
          std::size_t count, std::int32_t* out) {
         products_portable(
             query, count,
             [=](std::size_t i) { return base + static_cast<std::size_t>(places[i]) * kByteRow; },
             out);
       }}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    kernels.push_back({"avx2",
                       [](const std::int8_t* query, const std::uint8_t* rows, std::size_t count,
                          std::int32_t* out) {
                         const auto row_at = [=](std::size_t i) { return rows + i * kByteRow; };
                         products_avx2(query, count, row_at, out);
                       },
                       [](const std::int8_t* query, const std::uint8_t* base,
                          const std::int32_t* places, std::size_t count, std::int32_t* out) {
                         const auto row_at = [=](std::size_t i) {
                           return base + static_cast<std::size_t>(places[i]) * kByteRow;
                         };
                         products_avx2(query, count, row_at, out);
                       }});
  }
#endif
  return kernels;
}

}  // namespace

std::span<const ByteDotKernel> supported_byte_dot_kernels() {
  static const std::vector<ByteDotKernel> kernels = find_supported();
  return kernels;
}

const ByteDotKernel& byte_dot_kernel() {
  static const ByteDotKernel& best = supported_byte_dot_kernels().back();
  return best;
}

}  // namespace vitrine::index
