#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine::encoder {

/// The normalisation rules of a SentencePiece model: texts, each with what replaces it. Immutable;
/// safe to use from many threads.
class NormalizationRules {
 public:
  struct Match {
    std::size_t length = 0;        ///< bytes of the text that are replaced; 0: no rule applies
    std::string_view replacement;  ///< UTF-8, of at most 256 bytes; into the rules
  };

  /// No rules.
  NormalizationRules() = default;
  /// charsmap: a NormalizerSpec's precompiled_charsmap, that is the size in bytes of a table
  /// (4 bytes, little-endian), the table, which is a trie of the texts as Darts-clone writes it,
  /// and the replacements, each with a NUL behind it. Throws Corruption when that is damaged.
  explicit NormalizationRules(std::string charsmap);

  /// The rule for the longest text that this one begins with.
  Match longest_match(std::string_view text) const;

 private:
  std::size_t units() const { return table_bytes_ / 4; }
  std::uint32_t unit(std::size_t index) const;
  std::string_view replacement(std::size_t index) const;
  void check_state(std::size_t index) const;

  std::string charsmap_;
  std::size_t table_bytes_ = 0;
};

}  // namespace vitrine::encoder
