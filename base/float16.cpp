#include "base/float16.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>

namespace vitrine {

static_assert(std::endian::native == std::endian::little, "the bytes are read as they lie");

namespace {

float float16_to_float(const char* source) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, source, sizeof(bits));
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fU;
  const std::uint32_t mantissa = bits & 0x3ffU;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24, exact in float32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 0x1f ? 0xffU : exponent + 112;
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

#ifdef __x86_64__
/// Converts whole groups of eight and returns how many elements that were.
__attribute__((target("avx,f16c"))) std::size_t widen_float16_groups(const char* source,
                                                                     std::span<float> target) {
  const std::size_t count = target.size() / 8 * 8;
  for (std::size_t i = 0; i < count; i += 8) {
    const auto* halves = reinterpret_cast<const __m128i*>(source + i * sizeof(std::uint16_t));
    _mm256_storeu_ps(target.data() + i, _mm256_cvtph_ps(_mm_loadu_si128(halves)));
  }
  return count;
}
#endif

}  // namespace

void widen_float16(const char* source, std::span<float> target) {
  std::size_t done = 0;
#ifdef __x86_64__
  // Every CPU with AVX2 has F16C, for which not all compilers can ask.
  if (__builtin_cpu_supports("avx2") != 0) {
    done = widen_float16_groups(source, target);
  }
#endif
  for (; done < target.size(); ++done)
    target[done] = float16_to_float(source + done * sizeof(std::uint16_t));
}

std::uint16_t float_to_float16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return sign | 0x7e00U;   // NaN
  if (magnitude >= 0x477ff000U) return sign | 0x7c00U;  // rounds past the largest, or infinite
  if (magnitude < 0x38800000U) {                        // subnormal: a multiple of 2^-24
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p24F;
    return sign | static_cast<std::uint16_t>(std::nearbyint(scaled));
  }
  const std::uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
  return sign | static_cast<std::uint16_t>((rounded - 0x38000000U) >> 13);
}

}  // namespace vitrine
