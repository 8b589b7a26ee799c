#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vitrine::encoder {

/// Finds the pieces that a text begins with. Nine bytes a node, of which there is at most one a
/// byte of the pieces. Immutable; safe to use from many threads.
class PieceTrie {
 public:
  static constexpr std::int32_t kNone = -1;

  /// pieces: their ids are their places; none is empty. Throws Corruption when one is there twice.
  explicit PieceTrie(const std::vector<std::string_view>& pieces);

  /// Walks the text down the trie: calls on_piece(length in bytes, id) for each piece that the text
  /// begins with, the shortest first.
  template <typename OnPiece>
  void for_each_prefix(std::string_view text, OnPiece on_piece) const {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      node = child(node, text[i]);
      if (node == 0) return;
      if (ids_[node] != kNone) on_piece(i + 1, ids_[node]);
    }
  }

  /// The id of the piece that is the whole text, or kNone.
  std::int32_t find(std::string_view text) const;

 private:
  /// 0, the root, where there is none.
  std::uint32_t child(std::uint32_t node, char label) const;

  // [nodes], in the order of breadth, so that a node's children are neighbours.
  std::vector<char> labels_;
  std::vector<std::int32_t> ids_;
  std::vector<std::uint32_t> first_child_;  ///< [nodes + 1]; the next node's is the end
};

}  // namespace vitrine::encoder
