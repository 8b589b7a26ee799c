#pragma once

#include <cstddef>
#include <cstdint>

#include "base/instruction_set.h"

namespace vitrine::index {

/// Vectors whose codes lie interleaved in a block, so that one instruction looks up many.
constexpr std::size_t kBlockVectors = 32;
/// Values of a code of 4 bits, and entries of its table.
constexpr std::size_t kTableEntries = 16;
/// Tables whose sums fit 16 bits: 256 * 255 < 2^16.
constexpr std::size_t kMaxTables = 256;

/// Sums of table entries, in integers: exact, and therefore the same for every instruction set.
/// Tables come in pairs, 2p and 2p + 1; a block has 32 bytes for each. Byte j of the first 16 holds
/// the codes of table 2p: of vector j in its lower four bits, of vector j + 16 in its upper ones;
/// the other 16 bytes hold those of table 2p + 1.
struct TableSumKernel {
  /// tables: [2 * pairs, kTableEntries], at most kMaxTables of them. block: [pairs, 32]. Both at
  /// any address. sums[v]: of the entries that vector v's codes name, [kBlockVectors].
  /// Returns the vectors whose sum is at least `least`, vector v as bit v.
  std::uint32_t (*sum_block)(const std::uint8_t* tables, const std::uint8_t* block,
                             std::size_t pairs, std::uint16_t least, std::uint16_t* sums);
};

/// The code of a vector in a block. table: below 2 * pairs; vector: below kBlockVectors.
inline std::uint8_t code_in_block(const std::uint8_t* block, std::size_t table,
                                  std::size_t vector) {
  const std::uint8_t both = block[table * 16 + vector % 16];
  return vector < 16 ? both & 15 : both >> 4;
}

/// Writes a code where there was 0.
inline void put_code_in_block(std::uint8_t* block, std::size_t table, std::size_t vector,
                              std::uint8_t code) {
  block[table * 16 + vector % 16] |= static_cast<std::uint8_t>(vector < 16 ? code : code << 4);
}

/// The kernel of an instruction set, which must be a supported one.
const TableSumKernel& table_sum_kernel(InstructionSet instruction_set);

/// The fastest kernel this CPU can run; chosen once.
const TableSumKernel& table_sum_kernel();

}  // namespace vitrine::index
