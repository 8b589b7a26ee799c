#include "encoder/piece_trie.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::encoder {

PieceTrie::PieceTrie(const std::vector<std::string_view>& pieces) {
  std::vector<std::uint32_t> sorted(pieces.size());
  std::iota(sorted.begin(), sorted.end(), 0U);
  std::sort(sorted.begin(), sorted.end(),
            [&](std::uint32_t a, std::uint32_t b) { return pieces[a] < pieces[b]; });

  /// The pieces that go through a node, in sorted order.
  struct Range {
    std::uint32_t begin;
    std::uint32_t end;
  };
  std::vector<Range> level = {{0, static_cast<std::uint32_t>(sorted.size())}};
  labels_ = {'\0'};
  // Level by level: the nodes of one are those whose piece has `depth` bytes to there.
  for (std::size_t depth = 0; !level.empty(); ++depth) {
    std::vector<Range> next_level;
    for (Range range : level) {
      first_child_.push_back(static_cast<std::uint32_t>(labels_.size()));
      const bool ends_here = range.begin < range.end && pieces[sorted[range.begin]].size() == depth;
      ids_.push_back(ends_here ? static_cast<std::int32_t>(sorted[range.begin]) : kNone);
      if (ends_here) ++range.begin;
      while (range.begin < range.end) {
        const std::string_view first = pieces[sorted[range.begin]];
        if (first.size() == depth) {
          throw corruption(fmt::format("the piece \"{}\" is there twice", printable(first)));
        }
        std::uint32_t end = range.begin + 1;
        while (end < range.end && pieces[sorted[end]][depth] == first[depth]) ++end;
        labels_.push_back(first[depth]);
        next_level.push_back({range.begin, end});
        range.begin = end;
      }
    }
    level = std::move(next_level);
  }
  first_child_.push_back(static_cast<std::uint32_t>(labels_.size()));
}

std::uint32_t PieceTrie::child(std::uint32_t node, char label) const {
  const char* begin = labels_.data() + first_child_[node];
  const std::size_t count = first_child_[node + 1] - first_child_[node];
  const void* found = count == 0 ? nullptr : std::memchr(begin, label, count);
  return found == nullptr
             ? 0
             : static_cast<std::uint32_t>(static_cast<const char*>(found) - labels_.data());
}

std::int32_t PieceTrie::find(std::string_view text) const {
  std::int32_t id = kNone;
  for_each_prefix(text, [&](std::size_t length, std::int32_t found) {
    if (length == text.size()) id = found;
  });
  return id;
}

}  // namespace vitrine::encoder
