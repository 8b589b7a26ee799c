#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "index/kernels/code_dot.h"

namespace vitrine::index {

/// The size, or the next multiple of the unit.
inline std::size_t padded(std::size_t size, std::size_t unit = kCodeAlignment) {
  return (size + unit - 1) / unit * unit;
}

/// Writes the bytes, and zeros up to a multiple of kCodeAlignment.
inline void write_padded(const std::function<void(std::string_view)>& write, const void* data,
                         std::size_t size) {
  write({static_cast<const char*>(data), size});
  write(std::string(padded(size) - size, '\0'));
}

}  // namespace vitrine::index
