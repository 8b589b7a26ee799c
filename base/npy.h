#pragma once

#include <filesystem>

#include "base/matrix.h"

namespace vitrine {

/// Writes [rows, cols] float32 in NumPy's .npy format, version 1.0, C order, little endian,
/// atomically. Format: numpy.lib.format.
void write_npy(const std::filesystem::path& path, MatrixView matrix);

}  // namespace vitrine
