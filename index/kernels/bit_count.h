#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vitrine::index {

/// Bits that are set, with the CPU's own instruction where it has one.
std::size_t count_bits(std::span<const std::uint64_t> words);
/// The same without it.
std::size_t count_bits_portably(std::span<const std::uint64_t> words);

}  // namespace vitrine::index
