#include "tools/bpe_learner.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace vitrine::tools {
namespace {

using Pieces = std::vector<std::string>;

std::string utf8(unsigned code) {
  std::string text;
  if (code < 0x80) {
    text.push_back(static_cast<char>(code));
  } else {
    text.push_back(static_cast<char>(0xc0 | code >> 6));
    text.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
  return text;
}

/// The printable letters that stand for the 256 bytes, in the order CLIP's vocabulary has them.
Pieces byte_letters() {
  Pieces letters, others;
  unsigned next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) ||
                           (byte >= 0xae && byte <= 0xff);
    if (printable) {
      letters.push_back(utf8(byte));
    } else {
      others.push_back(utf8(next++));
    }
  }
  letters.insert(letters.end(), others.begin(), others.end());
  return letters;
}

/// CLIP's split for ASCII without apostrophes: runs of letters, single digits, runs of the rest.
std::vector<std::string> split_words(const std::string& text) {
  const auto kind = [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return std::isspace(u) ? 0 : std::isalpha(u) ? 1 : std::isdigit(u) ? 2 : 3;
  };
  std::vector<std::string> words;
  int last = 0;
  for (const char c : text) {
    const int now = kind(c);
    if (now != 0) {
      if (now != last || now == 2) words.emplace_back();
      words.back().push_back(c);
    }
    last = now;
  }
  return words;
}

Pieces letters_of(const std::string& word) {
  Pieces pieces;
  for (const char c : word) pieces.emplace_back(1, c);
  pieces.back() += "</w>";
  return pieces;
}

void merge(Pieces& pieces, const std::string& first, const std::string& second) {
  Pieces merged;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i + 1 < pieces.size() && pieces[i] == first && pieces[i + 1] == second) {
      merged.push_back(first + second);
      ++i;
    } else {
      merged.push_back(pieces[i]);
    }
  }
  pieces = std::move(merged);
}

}  // namespace

void BpeVocabulary::save(const std::filesystem::path& folder) const {
  nlohmann::ordered_json vocabulary;
  std::vector<std::string> by_id(ids.size());
  for (const auto& [token, id] : ids) by_id[id] = token;
  for (std::size_t id = 0; id < by_id.size(); ++id) vocabulary[by_id[id]] = id;
  write_file_atomically(folder / "vocab.json", vocabulary.dump());
  std::string text = "#version: 0.2\n";
  for (const auto& [first, second] : merges) text += first + " " + second + "\n";
  write_file_atomically(folder / "merges.txt", text);
}

BpeVocabulary learn_bpe(const std::vector<std::string>& words, int max_merges) {
  std::vector<Pieces> corpus;
  for (const std::string& text : words) {
    for (const std::string& word : split_words(text)) corpus.push_back(letters_of(word));
  }
  std::sort(corpus.begin(), corpus.end());
  corpus.erase(std::unique(corpus.begin(), corpus.end()), corpus.end());

  BpeVocabulary result;
  while (static_cast<int>(result.merges.size()) < max_merges) {
    std::map<std::pair<std::string, std::string>, int> counts;
    for (const Pieces& pieces : corpus) {
      for (std::size_t i = 0; i + 1 < pieces.size(); ++i) ++counts[{pieces[i], pieces[i + 1]}];
    }
    if (counts.empty()) break;
    const auto best =
        std::max_element(counts.begin(), counts.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    result.merges.push_back(best->first);
    for (Pieces& pieces : corpus) merge(pieces, best->first.first, best->first.second);
  }

  const auto add = [&](const std::string& token) {
    result.ids.emplace(token, static_cast<int>(result.ids.size()));
  };
  const Pieces letters = byte_letters();
  for (const std::string& letter : letters) add(letter);
  for (const std::string& letter : letters) add(letter + "</w>");
  for (const auto& [first, second] : result.merges) add(first + second);
  add("<|startoftext|>");
  add("<|endoftext|>");
  return result;
}

}  // namespace vitrine::tools
