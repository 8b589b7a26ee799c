#pragma once

#include <cstddef>
#include <cstdint>

#include "base/matrix.h"

namespace vitrine::bench {

/// [rows, columns], of unit length: clusters of every size in a space of far fewer dimensions than
/// columns, a direction that all share, and a few columns far larger than the rest: what embeddings
/// of photographs look like. Seeds a thousand rows apart share no row; all have the same clusters.
/// Uses the OpenMP threads of the calling thread.
Matrix clustered_vectors(std::size_t rows, std::uint32_t seed, std::size_t columns = 512);

}  // namespace vitrine::bench
