#pragma once

#include <cstddef>

namespace vitrine::engine {

/// What the encoder read of a text.
struct TextLength {
  std::size_t tokens = 0;  ///< start and end token included; what was cut is not counted
  bool truncated = false;  ///< the text exceeded the encoder's context and was cut
};

}  // namespace vitrine::engine
