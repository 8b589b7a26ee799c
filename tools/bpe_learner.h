#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace vitrine::tools {

/// A byte-level BPE vocabulary in CLIP's form: the 256 byte letters, the same with "</w>" at a
/// word's end, one token a merge, then <|startoftext|> and <|endoftext|>, which has the largest id.
struct BpeVocabulary {
  std::vector<std::pair<std::string, std::string>> merges;  ///< best first
  std::map<std::string, int> ids;

  int start_id() const { return ids.at("<|startoftext|>"); }
  int end_id() const { return ids.at("<|endoftext|>"); }

  /// Writes vocab.json and merges.txt.
  void save(const std::filesystem::path& folder) const;
};

/// Learns merges until every word is one token or max_merges is reached. words: lower-case ASCII.
/// Ties are broken by the text of the pair, so that the same words give the same vocabulary.
BpeVocabulary learn_bpe(const std::vector<std::string>& words, int max_merges);

}  // namespace vitrine::tools
