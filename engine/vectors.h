#pragma once

#include <span>
#include <string>

#include "base/matrix.h"

namespace vitrine::engine {

/// Scales the row to unit length. False, and the row is left alone, when it has no direction: a
/// value that is not finite, or nothing but zeros.
bool normalise_row(std::span<float> row);

/// normalise_row(), but that a row of unit length to float32's precision is left as it is, bit for
/// bit. Returns why the row has no direction; empty: it has one.
std::string make_unit(std::span<float> row);

/// Equal lengths.
float dot(std::span<const float> a, std::span<const float> b);

}  // namespace vitrine::engine
