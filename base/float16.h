#pragma once

#include <cstdint>
#include <span>

namespace vitrine {

/// IEEE 754 half precision, exactly. source: little endian, 2 * target.size() bytes, not
/// necessarily aligned.
void widen_float16(const char* source, std::span<float> target);

/// Rounds to nearest, ties to even.
std::uint16_t float_to_float16(float value);

}  // namespace vitrine
