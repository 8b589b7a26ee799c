#pragma once

#include <span>

#include "base/matrix.h"

namespace vitrine::engine {

/// Scales the row to unit length. False, and the row is left alone, when it has no direction: a
/// value that is not finite, or nothing but zeros.
bool normalise_row(std::span<float> row);

/// Equal lengths.
float dot(std::span<const float> a, std::span<const float> b);

}  // namespace vitrine::engine
