#include "encoder/tokenizer.h"

#include <fmt/format.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <queue>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace vitrine::encoder {
namespace {

constexpr std::uint64_t kMaxFileBytes = 256ULL << 20;
constexpr std::string_view kEndOfWord = "</w>";
constexpr std::string_view kStartToken = "<|startoftext|>";
constexpr std::string_view kEndToken = "<|endoftext|>";

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

void append_utf8(std::string& text, UChar32 code_point) {
  std::array<char, 4> buffer{};
  std::int32_t length = 0;
  U8_APPEND_UNSAFE(buffer.data(), length, code_point);
  text.append(buffer.data(), static_cast<std::size_t>(length));
}

/// The code point at `position`, which moves behind it. The text must be well-formed.
UChar32 next_code_point(std::string_view text, std::size_t& position) {
  UChar32 code_point = 0;
  U8_NEXT_UNSAFE(text.data(), position, code_point);
  return code_point;
}

bool is_space(UChar32 c) { return u_hasBinaryProperty(c, UCHAR_WHITE_SPACE) != 0; }
bool is_letter(UChar32 c) { return (U_GET_GC_MASK(c) & U_GC_L_MASK) != 0; }
bool is_number(UChar32 c) { return (U_GET_GC_MASK(c) & U_GC_N_MASK) != 0; }

/// GPT-2's printable stand-in for each byte: itself where that is visible Latin-1, else U+0100 on.
std::array<std::string, 256> byte_symbols() {
  std::array<std::string, 256> symbols;
  UChar32 next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    append_utf8(symbols[static_cast<std::size_t>(byte)], visible ? byte : next++);
  }
  return symbols;
}

/// NFC, each run of white space to one space, then lower case character by character: no rule looks
/// at the neighbours, and what lower-casing decomposes stays so.
std::string normalize(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(status);
  std::string composed;
  if (U_SUCCESS(status)) {
    const icu::UnicodeString wide = icu::UnicodeString::fromUTF8(
        icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
    nfc->normalize(wide, status).toUTF8String(composed);
  }
  if (U_FAILURE(status)) {
    throw internal_error(fmt::format("NFC normalisation failed: {}", u_errorName(status)));
  }
  std::string result;
  result.reserve(composed.size());
  bool after_space = false;
  for (std::size_t position = 0; position < composed.size();) {
    const UChar32 c = next_code_point(composed, position);
    const bool space = is_space(c);
    if (!space) {
      if (c == 0x130) {  // the one character whose lower case is two
        result += "i\xcc\x87";
      } else {
        append_utf8(result, u_tolower(c));
      }
    } else if (!after_space) {
      result += ' ';
    }
    after_space = space;
  }
  return result;
}

/// Length of an English contraction at the start of the text, or 0.
std::size_t contraction_length(std::string_view text) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(ending)) return ending.size();
  }
  return 0;
}

/// End of the word that starts at `start`, by the pattern
/// 's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
/// `start` must not be at white space.
std::size_t word_end(std::string_view text, std::size_t start) {
  if (const std::size_t length = contraction_length(text.substr(start)); length > 0) {
    return start + length;
  }
  std::size_t position = start;
  const UChar32 first = next_code_point(text, position);
  if (is_number(first)) return position;
  const bool letters = is_letter(first);
  while (position < text.size()) {
    std::size_t next = position;
    const UChar32 c = next_code_point(text, next);
    const bool belongs = letters ? is_letter(c) : !is_letter(c) && !is_number(c) && !is_space(c);
    if (!belongs) break;
    position = next;
  }
  return position;
}

nlohmann::json read_json_object(const std::filesystem::path& path) {
  nlohmann::json json =
      nlohmann::json::parse(read_file(path, kMaxFileBytes), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) throw corruption(path.string() + " is not JSON");
  if (!json.is_object()) throw corruption(path.string() + " is not a JSON object");
  return json;
}

/// A special token's text: a string, or an object with "content".
std::optional<std::string> token_content(const nlohmann::json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_object() && found->contains("content") && (*found)["content"].is_string()) {
    return (*found)["content"].get<std::string>();
  }
  return std::nullopt;
}

}  // namespace

/// Collects ids until there are more than wanted.
class Tokenizer::Output {
 public:
  explicit Output(std::size_t limit) : limit_(limit) {}
  void add(std::int32_t id) { ids_.push_back(id); }
  bool full() const { return ids_.size() > limit_; }
  std::vector<std::int32_t>& ids() { return ids_; }

 private:
  std::size_t limit_;
  std::vector<std::int32_t> ids_;
};

Tokenizer Tokenizer::load(const std::filesystem::path& checkpoint_folder) {
  Tokenizer tokenizer;
  tokenizer.read_vocabulary(checkpoint_folder / "vocab.json");
  tokenizer.read_merges(checkpoint_folder / "merges.txt");
  tokenizer.read_special_tokens(checkpoint_folder);
  return tokenizer;
}

void Tokenizer::read_vocabulary(const std::filesystem::path& path) {
  const nlohmann::json vocabulary = read_json_object(path);
  vocabulary_.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= (1U << 30)) {
      throw corruption(fmt::format("{}: the id of \"{}\" is not a small number", path.string(),
                                   printable(token)));
    }
    const auto value = id.get<std::int32_t>();
    vocabulary_.emplace(token, value);
    vocab_size_ = std::max(vocab_size_, value + 1);
  }
  const auto find = [&](const std::string& token) {
    const auto found = vocabulary_.find(token);
    return found == vocabulary_.end() ? -1 : found->second;
  };
  for (const std::string& symbol : byte_symbols()) {
    byte_ids_.push_back(find(symbol));
    last_byte_ids_.push_back(find(symbol + std::string(kEndOfWord)));
  }
}

void Tokenizer::read_merges(const std::filesystem::path& path) {
  const std::string text = read_file(path, kMaxFileBytes);
  std::int32_t rank = 0;
  std::size_t line_number = 0;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = std::string_view(text).substr(start, end - start);
    start = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      throw corruption(fmt::format("{}: line {} is not two tokens: \"{}\"", path.string(),
                                   line_number, printable(line)));
    }
    const auto id_of = [&](const std::string& token) {
      const auto found = vocabulary_.find(token);
      if (found == vocabulary_.end()) {
        throw corruption(fmt::format("{}: line {} needs \"{}\", which vocab.json does not have",
                                     path.string(), line_number, printable(token)));
      }
      return found->second;
    };
    const std::string left(line.substr(0, space));
    const std::string right(line.substr(space + 1));
    merges_.insert_or_assign(pair_key(id_of(left), id_of(right)),
                             Merge{rank++, id_of(left + right)});
  }
}

void Tokenizer::read_special_tokens(const std::filesystem::path& folder) {
  std::string start(kStartToken);
  std::string end(kEndToken);
  std::string unknown(kEndToken);
  // "normalized" of bos_token and eos_token in tokenizer_config.json is what the slow tokenizer was
  // saved with, and wrong for the fast one in published checkpoints: only the lists of added tokens
  // below count.
  std::map<std::string, bool> normalized = {{std::string(kStartToken), true},
                                            {std::string(kEndToken), false}};
  const auto read_added_token = [&](const nlohmann::json& token) {
    if (token.is_object() && token.contains("content") && token["content"].is_string()) {
      normalized[token["content"].get<std::string>()] = token.value("normalized", false);
    }
  };
  try {
    if (const auto path = folder / "tokenizer.json"; std::filesystem::exists(path)) {
      const nlohmann::json config = read_json_object(path);
      for (const auto& token : config.value("added_tokens", nlohmann::json::array())) {
        read_added_token(token);
      }
    }
    if (const auto path = folder / "tokenizer_config.json"; std::filesystem::exists(path)) {
      const nlohmann::json config = read_json_object(path);
      start = token_content(config, "bos_token").value_or(start);
      end = token_content(config, "eos_token").value_or(end);
      unknown = token_content(config, "unk_token").value_or(end);
      const auto decoder = config.find("added_tokens_decoder");
      if (decoder != config.end() && decoder->is_object()) {
        for (const auto& [id, token] : decoder->items()) read_added_token(token);
      }
    }
  } catch (const nlohmann::json::exception& error) {
    throw corruption(fmt::format("tokenizer configuration in {}: {}", folder.string(),
                                 printable(error.what(), 200)));
  }
  const auto id_of = [&](const std::string& token) {
    const auto found = vocabulary_.find(token);
    if (found == vocabulary_.end()) {
      throw corruption(fmt::format("{} has no special token \"{}\"",
                                   (folder / "vocab.json").string(), printable(token)));
    }
    return found->second;
  };
  start_id_ = id_of(start);
  end_id_ = id_of(end);
  unknown_id_ = id_of(unknown);
  normalized.try_emplace(start, true);
  normalized.try_emplace(end, false);
  for (const auto& [content, is_normalized] : normalized) {
    const auto found = vocabulary_.find(content);
    if (content.empty() || found == vocabulary_.end()) continue;
    (is_normalized ? normalized_tokens_ : raw_tokens_)
        .push_back({is_normalized ? normalize(content) : content, found->second, is_normalized});
  }
}

namespace {

/// Calls on_text for the text between added tokens and on_token for each of them: the leftmost
/// first, of several at one place the longest.
template <typename Tokens, typename OnText, typename OnToken>
void split_added_tokens(std::string_view text, const Tokens& tokens, OnText on_text,
                        OnToken on_token) {
  while (!text.empty()) {
    std::size_t position = std::string_view::npos;
    const typename Tokens::value_type* match = nullptr;
    for (const auto& token : tokens) {
      const std::size_t found = text.find(token.content);
      if (found == std::string_view::npos) continue;
      if (found < position || (found == position && token.content.size() > match->content.size())) {
        position = found;
        match = &token;
      }
    }
    if (match == nullptr) break;
    if (position > 0 && !on_text(text.substr(0, position))) return;
    if (!on_token(match->id)) return;
    text.remove_prefix(position + match->content.size());
  }
  if (!text.empty()) on_text(text);
}

}  // namespace

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, int max_length,
                                            bool* truncated) const {
  if (max_length < 2) {
    throw invalid_argument(fmt::format(
        "max_length is {}; at least 2 is needed for the start and end tokens", max_length));
  }
  if (const auto position = find_invalid_utf8(text)) {
    throw invalid_argument(fmt::format("the text is not UTF-8 at byte {}", *position));
  }
  if (text.size() >= (1U << 30)) throw invalid_argument("the text has a gigabyte or more");
  const auto limit = static_cast<std::size_t>(max_length) - 2;
  Output output(limit);
  split_added_tokens(
      text, raw_tokens_,
      [&](std::string_view piece) {
        encode_raw(piece, output);
        return !output.full();
      },
      [&](std::int32_t id) {
        output.add(id);
        return !output.full();
      });
  std::vector<std::int32_t>& tokens = output.ids();
  if (truncated != nullptr) *truncated = tokens.size() > limit;
  tokens.resize(std::min(tokens.size(), limit));
  std::vector<std::int32_t> ids;
  ids.reserve(tokens.size() + 2);
  ids.push_back(start_id_);
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  ids.push_back(end_id_);
  return ids;
}

void Tokenizer::encode_raw(std::string_view piece, Output& output) const {
  split_added_tokens(
      normalize(piece), normalized_tokens_,
      [&](std::string_view rest) {
        encode_normalized(rest, output);
        return !output.full();
      },
      [&](std::int32_t id) {
        output.add(id);
        return !output.full();
      });
}

void Tokenizer::encode_normalized(std::string_view piece, Output& output) const {
  for (std::size_t position = 0; position < piece.size() && !output.full();) {
    std::size_t next = position;
    if (is_space(next_code_point(piece, next))) {
      position = next;
      continue;
    }
    const std::size_t end = word_end(piece, position);
    encode_word(piece.substr(position, end - position), output);
    position = end;
  }
}

void Tokenizer::encode_word(std::string_view word, Output& output) const {
  // A doubly linked list of symbols, and a heap of the merges they allow: the lowest rank first, of
  // equal ranks the leftmost. A merged-away symbol stays in
  // place with id -1.
  struct Symbol {
    std::int32_t id;
    int previous;
    int next;
    int generation;  // counts merges into this symbol, so that stale heap entries are known
  };
  struct Candidate {
    std::int32_t rank;
    std::int32_t merged_id;
    int left;
    int left_generation;
    int right_generation;
    bool operator>(const Candidate& other) const {
      return std::pair(rank, left) > std::pair(other.rank, other.left);
    }
  };
  const int count = static_cast<int>(word.size());
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (int i = 0; i < count; ++i) {
    const auto byte = static_cast<unsigned char>(word[static_cast<std::size_t>(i)]);
    const bool last = i + 1 == count;
    const std::int32_t id = last ? last_byte_ids_[byte] : byte_ids_[byte];
    symbols.push_back({id >= 0 ? id : unknown_id_, i - 1, last ? -1 : i + 1, 0});
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto consider = [&](int left) {
    if (left < 0 || symbols[left].next < 0) return;
    const Symbol& right = symbols[symbols[left].next];
    const auto found = merges_.find(pair_key(symbols[left].id, right.id));
    if (found == merges_.end()) return;
    candidates.push(
        {found->second.rank, found->second.id, left, symbols[left].generation, right.generation});
  };
  for (int i = 0; i < count; ++i) consider(i);
  while (!candidates.empty()) {
    const Candidate candidate = candidates.top();
    candidates.pop();
    Symbol& left = symbols[candidate.left];
    if (left.id < 0 || left.next < 0 || left.generation != candidate.left_generation ||
        symbols[left.next].generation != candidate.right_generation) {
      continue;
    }
    Symbol& right = symbols[left.next];
    left.id = candidate.merged_id;
    ++left.generation;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = candidate.left;
    consider(left.previous);
    consider(candidate.left);
  }
  for (int i = 0; i >= 0 && i < count && !output.full(); i = symbols[i].next) {
    output.add(symbols[i].id);
  }
}

}  // namespace vitrine::encoder
