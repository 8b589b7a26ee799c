#include "encoder/normalization_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::encoder {
namespace {

/// The size before the table, and one of its units.
constexpr std::size_t kUnitBytes = 4;
/// The successors of a state lie in one block of the table, at their byte ^ a constant. Of whole
/// blocks any byte finds a unit.
constexpr std::size_t kBlockUnits = 256;
/// NFKC's longest has 33.
constexpr std::size_t kMaxReplacementBytes = 256;

/// A unit is a state of the trie: the byte that leads to it, whether a text ends there, and where
/// its successors are. Or, with this bit, it is where a replacement starts.
constexpr std::uint32_t kNoState = 1U << 31;

std::uint32_t read_unit(std::string_view bytes, std::size_t index) {
  std::uint32_t unit = 0;
  for (std::size_t i = 0; i < kUnitBytes; ++i) {
    unit |= std::uint32_t{static_cast<std::uint8_t>(bytes[index * kUnitBytes + i])} << (8 * i);
  }
  return unit;
}

bool leads_by(std::uint32_t unit, std::uint8_t byte) { return (unit & (kNoState | 0xff)) == byte; }
bool ends_a_text(std::uint32_t unit) { return (unit & 0x100) != 0; }

/// Where the unit at this index has its successor by byte 0, or the start of its replacement.
std::size_t successors(std::size_t index, std::uint32_t unit) {
  return index ^ (std::size_t{unit >> 10} << ((unit & 0x200) != 0 ? 8 : 0));
}

}  // namespace

NormalizationRules::NormalizationRules(std::string charsmap) : charsmap_(std::move(charsmap)) {
  if (charsmap_.size() < kUnitBytes) throw corruption("the normalisation rules are cut off");
  table_bytes_ = read_unit(charsmap_, 0);
  if (table_bytes_ == 0 || table_bytes_ % (kBlockUnits * kUnitBytes) != 0 ||
      table_bytes_ > charsmap_.size() - kUnitBytes) {
    throw corruption(fmt::format("the table of the normalisation rules has {} bytes of {}",
                                 table_bytes_, charsmap_.size()));
  }
  for (std::size_t i = 0; i < units(); ++i) {
    if (i == 0 || (unit(i) & kNoState) == 0) check_state(i);
  }
}

std::uint32_t NormalizationRules::unit(std::size_t index) const {
  return read_unit(charsmap_, index + 1);
}

std::string_view NormalizationRules::replacement(std::size_t index) const {
  const std::size_t start = unit(successors(index, unit(index))) & ~kNoState;
  const std::string_view all = std::string_view(charsmap_).substr(kUnitBytes + table_bytes_);
  if (start >= all.size()) throw corruption("the replacement of a normalisation rule is missing");
  const std::string_view rest = all.substr(start, kMaxReplacementBytes + 1);
  return rest.substr(0, rest.find('\0'));
}

/// Of any unit that longest_match() may come to.
void NormalizationRules::check_state(std::size_t index) const {
  if (successors(index, unit(index)) >= units()) {
    throw corruption("the normalisation rules lead out of their table");
  }
  if (!ends_a_text(unit(index))) return;
  const std::string_view text = replacement(index);
  if (text.size() > kMaxReplacementBytes || find_invalid_utf8(text)) {
    throw corruption("the replacement of a normalisation rule is too long or not UTF-8");
  }
}

NormalizationRules::Match NormalizationRules::longest_match(std::string_view text) const {
  Match match;
  if (table_bytes_ == 0) return match;
  std::size_t state = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    state = successors(state, unit(state)) ^ byte;
    const std::uint32_t found = unit(state);
    if (!leads_by(found, byte)) break;
    if (ends_a_text(found)) match = {i + 1, replacement(state)};
  }
  return match;
}

}  // namespace vitrine::encoder
