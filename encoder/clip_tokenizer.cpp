#include "encoder/clip_tokenizer.h"

#include <fmt/format.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <queue>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "encoder/code_points.h"
#include "encoder/json_file.h"
#include "encoder/text_cleaning.h"
#include "encoder/tokenizer_description.h"

namespace vitrine::encoder {
namespace {

constexpr std::string_view kEndOfWord = "</w>";
constexpr std::string_view kStartToken = "<|startoftext|>";
constexpr std::string_view kEndToken = "<|endoftext|>";

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
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
      append_lower_case(result, c);
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

/// An added token's entry in a JSON file. What it says of white space around the token (lstrip,
/// rstrip) changes no id: white space has none.
struct AddedTokenEntry {
  std::string content;
  nlohmann::json id;  ///< null: the vocabulary says
  bool normalized = false;
  bool single_word = false;
};

/// Nothing for what is no token.
std::optional<AddedTokenEntry> read_added_token(const nlohmann::json& token) {
  if (!token.is_object()) return std::nullopt;
  const auto content = token.find("content");
  if (content == token.end() || !content->is_string()) return std::nullopt;
  return AddedTokenEntry{content->get<std::string>(), token.value("id", nlohmann::json()),
                         token.value("normalized", false), token.value("single_word", false)};
}

/// What a tokenizer.json lists under added_tokens; none for a folder without one.
std::vector<AddedTokenEntry> added_tokens(const nlohmann::json& fast) {
  std::vector<AddedTokenEntry> tokens;
  const auto found = fast.find("added_tokens");
  if (found == fast.end()) return tokens;
  for (const nlohmann::json& token : *found) {
    if (auto entry = read_added_token(token)) tokens.push_back(std::move(*entry));
  }
  return tokens;
}

/// What a tokenizer_config.json has under added_tokens_decoder: the keys are ids.
std::vector<AddedTokenEntry> added_tokens_decoder(const nlohmann::json& config) {
  std::vector<AddedTokenEntry> tokens;
  const auto found = config.find("added_tokens_decoder");
  if (found == config.end() || !found->is_object()) return tokens;
  for (const auto& [key, token] : found->items()) {
    auto entry = read_added_token(token);
    if (!entry) continue;
    std::uint64_t id = 0;
    const char* end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, id);
    const bool is_number = parsed.ec == std::errc() && parsed.ptr == end;
    entry->id = is_number ? nlohmann::json(id) : nlohmann::json(key);  // refused as an id
    tokens.push_back(std::move(*entry));
  }
  return tokens;
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

/// The pre-tokenizer's pattern, as transformers writes it now; older files put the two special
/// tokens before it, which the byte-level step behind it splits all the same.
constexpr std::string_view kPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
constexpr std::string_view kOldPatternStart = R"(<\|startoftext\|>|<\|endoftext\|>|)";

/// Refuses a tokenizer.json unless it describes CLIP's tokenizer: what encode() does is fixed.
void check_pipeline(const nlohmann::json& fast, const std::string& file) {
  using Json = nlohmann::json;
  const TokenizerDescription description(fast, file, "only CLIP's tokenizer is supported");
  description.expect("/normalizer", Json::parse(R"({"type": "Sequence", "normalizers": [
      {"type": "NFC"},
      {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
      {"type": "Lowercase"}]})"));
  description.expect("/pre_tokenizer/type", "Sequence");
  description.expect("/pre_tokenizer/pretokenizers/0/type", "Split");
  description.expect("/pre_tokenizer/pretokenizers/0/behavior", "Removed");
  description.expect("/pre_tokenizer/pretokenizers/0/invert", true);
  description.expect("/pre_tokenizer/pretokenizers/1/type", "ByteLevel");
  description.expect("/pre_tokenizer/pretokenizers/1/add_prefix_space", false);
  description.expect("/pre_tokenizer/pretokenizers/2", nullptr);
  constexpr const char* regex_place = "/pre_tokenizer/pretokenizers/1/use_regex";
  if (description.at(regex_place) == false) description.fail(regex_place, "true");
  constexpr const char* pattern_place = "/pre_tokenizer/pretokenizers/0/pattern/Regex";
  const Json& pattern = description.at(pattern_place);
  if (pattern != kPattern && pattern != std::string(kOldPatternStart) + std::string(kPattern)) {
    description.fail(pattern_place, std::string(kPattern));
  }

  description.expect("/model/type", "BPE");
  description.expect("/model/end_of_word_suffix", kEndOfWord);
  const auto expect_off = [&](const char* place) {
    const Json& value = description.at(place);
    if (!value.is_null() && value != false && value != "") description.fail(place, "null");
  };
  for (const char* place : {"/model/dropout", "/model/continuing_subword_prefix", "/model/fuse_unk",
                            "/model/byte_fallback", "/model/ignore_merges"}) {
    expect_off(place);
  }
  if (!description.at("/model/vocab").is_object() || !description.at("/model/merges").is_array()) {
    throw corruption(file + ": model needs vocab, an object, and merges, an array");
  }
}

}  // namespace

/// Collects ids until there are more than wanted.
class ClipTokenizer::Output {
 public:
  explicit Output(std::size_t limit) : limit_(limit) {}
  void add(std::int32_t id) { ids_.push_back(id); }
  bool full() const { return ids_.size() > limit_; }
  std::vector<std::int32_t>& ids() { return ids_; }

 private:
  std::size_t limit_;
  std::vector<std::int32_t> ids_;
};

/// Builds a tokenizer from the files of a folder.
class ClipTokenizer::Loader {
 public:
  explicit Loader(const std::filesystem::path& folder) : folder_(folder) {}

  ClipTokenizer load() {
    const std::filesystem::path description = folder_ / "tokenizer.json";
    nlohmann::json fast;  // null: the folder has none
    if (std::filesystem::exists(description)) {
      fast = read_json_object(description, kMaxTokenizerBytes);
    }
    const bool both_files = std::filesystem::exists(folder_ / "vocab.json") &&
                            std::filesystem::exists(folder_ / "merges.txt");
    if (both_files || fast.is_null()) {
      const std::filesystem::path path = folder_ / "vocab.json";
      read_vocabulary(read_json_object(path, kMaxTokenizerBytes), path.string());
      read_merges_file(folder_ / "merges.txt");
    } else {
      read_description(fast, description.string());
    }
    read_added_and_special_tokens(fast);
    return std::move(tokenizer_);
  }

 private:
  void read_vocabulary(const nlohmann::json& vocabulary, const std::string& file);
  void read_merges_file(const std::filesystem::path& path);
  void read_description(const nlohmann::json& fast, const std::string& file);
  void read_added_and_special_tokens(const nlohmann::json& fast);

  void add_token(const std::string& token, const nlohmann::json& id, const std::string& file) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= (1U << 30)) {
      throw corruption(
          fmt::format("{}: the id of \"{}\" is not a small number", file, printable(token)));
    }
    const auto value = id.get<std::int32_t>();
    vocabulary_.emplace(token, value);
    tokenizer_.vocab_size_ = std::max(tokenizer_.vocab_size_, value + 1);
  }

  /// What several files say of a token must be the same.
  void add_added_token(const AddedTokenEntry& token, const std::string& file) {
    if (token.id.is_null()) return;
    if (!vocabulary_.contains(token.content)) add_token(token.content, token.id, file);
    const auto& [content, id] = *vocabulary_.find(token.content);
    const auto holder = contents_.emplace(id, content).first;
    if (token.id != id || holder->second != content) {
      throw corruption(fmt::format(
          "{}: the added token \"{}\" has the id {}; in the vocabulary \"{}\" has the id {}", file,
          printable(token.content), printable(token.id.dump()), printable(holder->second), id));
    }
  }

  /// number: of the merge in its file, for messages.
  void add_merge(std::string_view left, std::string_view right, const std::string& file,
                 std::size_t number) {
    const auto id_of = [&](const std::string& token) {
      const auto found = vocabulary_.find(token);
      if (found == vocabulary_.end()) {
        throw corruption(
            fmt::format("{}: merge {} needs \"{}\", which the vocabulary does not have", file,
                        number, printable(token)));
      }
      return found->second;
    };
    const std::string first(left);
    const std::string second(right);
    const Merge merge{next_rank_++, id_of(first + second)};
    tokenizer_.merges_.insert_or_assign(pair_key(id_of(first), id_of(second)), merge);
  }

  /// A merge written as "a b".
  void add_merge(std::string_view pair, const std::string& file, std::size_t number) {
    const std::size_t space = pair.find(' ');
    if (space == std::string_view::npos || pair.find(' ', space + 1) != std::string_view::npos) {
      throw corruption(
          fmt::format("{}: merge {} is not two tokens: \"{}\"", file, number, printable(pair)));
    }
    add_merge(pair.substr(0, space), pair.substr(space + 1), file, number);
  }

  std::filesystem::path folder_;
  ClipTokenizer tokenizer_;
  std::unordered_map<std::string, std::int32_t> vocabulary_;
  std::unordered_map<std::int32_t, std::string_view> contents_;  // of ids; into vocabulary_
  std::int32_t next_rank_ = 0;
};

ClipTokenizer ClipTokenizer::load(const std::filesystem::path& checkpoint_folder,
                                  ClipCleaning cleaning) {
  ClipTokenizer tokenizer = Loader(checkpoint_folder).load();
  tokenizer.cleaning_ = cleaning;
  return tokenizer;
}

void ClipTokenizer::Loader::read_vocabulary(const nlohmann::json& vocabulary,
                                            const std::string& file) {
  vocabulary_.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) add_token(token, id, file);
  const auto find = [&](const std::string& token) {
    const auto found = vocabulary_.find(token);
    return found == vocabulary_.end() ? -1 : found->second;
  };
  for (const std::string& symbol : byte_symbols()) {
    tokenizer_.byte_ids_.push_back(find(symbol));
    tokenizer_.last_byte_ids_.push_back(find(symbol + std::string(kEndOfWord)));
  }
}

void ClipTokenizer::Loader::read_merges_file(const std::filesystem::path& path) {
  const std::string text = read_file(path, kMaxTokenizerBytes);
  tokenizer_.merges_.reserve(vocabulary_.size());
  std::size_t number = 0;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = std::string_view(text).substr(start, end - start);
    start = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    add_merge(line, path.string(), ++number);
  }
}

void ClipTokenizer::Loader::read_description(const nlohmann::json& fast, const std::string& file) {
  check_pipeline(fast, file);
  const nlohmann::json& model = fast["model"];
  read_vocabulary(model["vocab"], file);
  tokenizer_.merges_.reserve(model["merges"].size());
  std::size_t number = 0;
  for (const nlohmann::json& merge : model["merges"]) {
    ++number;
    if (merge.is_string()) {
      add_merge(merge.get_ref<const std::string&>(), file, number);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      add_merge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(),
                file, number);
    } else {
      throw corruption(
          fmt::format("{}: merge {} is not two tokens: {}", file, number, printable(merge.dump())));
    }
  }
}

void ClipTokenizer::Loader::read_added_and_special_tokens(const nlohmann::json& fast) {
  std::string start(kStartToken);
  std::string end(kEndToken);
  std::string unknown(kEndToken);
  struct Flags {
    bool normalized = false;
    bool single_word = false;
  };
  // "normalized" of bos_token and eos_token in tokenizer_config.json is what the slow tokenizer was
  // saved with, and wrong for the fast one in published checkpoints: only the lists of added tokens
  // below count.
  std::map<std::string, Flags> looked_for = {{std::string(kStartToken), {.normalized = true}},
                                             {std::string(kEndToken), {}}};
  for (const auto& [content, id] : vocabulary_) contents_.emplace(id, content);
  const auto add = [&](const AddedTokenEntry& token, const std::filesystem::path& file) {
    add_added_token(token, file.string());
    looked_for[token.content] = {token.normalized, token.single_word};
  };
  try {
    for (const AddedTokenEntry& token : added_tokens(fast)) add(token, folder_ / "tokenizer.json");
    if (const auto path = folder_ / "tokenizer_config.json"; std::filesystem::exists(path)) {
      const nlohmann::json config = read_json_object(path, kMaxConfigBytes);
      start = token_content(config, "bos_token").value_or(start);
      end = token_content(config, "eos_token").value_or(end);
      unknown = token_content(config, "unk_token").value_or(end);
      for (const AddedTokenEntry& token : added_tokens_decoder(config)) add(token, path);
    }
    if (const auto path = folder_ / "added_tokens.json"; std::filesystem::exists(path)) {
      const nlohmann::json ids = read_json_object(path, kMaxTokenizerBytes);
      for (const auto& [content, id] : ids.items()) {
        add_added_token({.content = content, .id = id}, path.string());
        // Of a token that no other file describes this one says no more.
        const bool special = content == start || content == end || content == unknown;
        looked_for.try_emplace(content, Flags{.normalized = !special});
      }
    }
  } catch (const nlohmann::json::exception& error) {
    throw corruption(fmt::format("tokenizer configuration in {}: {}", folder_.string(),
                                 printable(error.what(), 200)));
  }
  const auto id_of = [&](const std::string& token) {
    const auto found = vocabulary_.find(token);
    if (found == vocabulary_.end()) {
      throw corruption(fmt::format("{}: the vocabulary has no special token \"{}\"",
                                   folder_.string(), printable(token)));
    }
    return found->second;
  };
  tokenizer_.start_id_ = id_of(start);
  tokenizer_.end_id_ = id_of(end);
  tokenizer_.unknown_id_ = id_of(unknown);
  looked_for.try_emplace(start, Flags{.normalized = true});
  looked_for.try_emplace(end, Flags{});
  for (const auto& [content, flags] : looked_for) {
    const auto found = vocabulary_.find(content);
    if (content.empty() || found == vocabulary_.end()) continue;
    (flags.normalized ? tokenizer_.normalized_tokens_ : tokenizer_.raw_tokens_)
        .push_back(
            {flags.normalized ? normalize(content) : content, found->second, flags.single_word});
  }
}

namespace {

/// What \w matches in a regular expression.
bool is_word_character(UChar32 c) {
  return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) != 0 ||
         u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) != 0 ||
         (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

/// Whether text[begin, end) is a part of a longer word.
bool continues_a_word(std::string_view text, std::size_t begin, std::size_t end) {
  if (end < text.size() && is_word_character(next_code_point(text, end))) return true;
  return begin > 0 && is_word_character(previous_code_point(text, begin));
}

/// Calls on_text for the text between added tokens and on_token for each of them: the leftmost
/// first, of several at one place the longest.
template <typename Tokens, typename OnText, typename OnToken>
void split_added_tokens(std::string_view text, const Tokens& tokens, OnText on_text,
                        OnToken on_token) {
  constexpr std::size_t none = std::string_view::npos;
  std::vector<std::size_t> next(tokens.size());  // where each token is found next
  for (std::size_t i = 0; i < tokens.size(); ++i) next[i] = text.find(tokens[i].content);
  std::size_t start = 0;  // of the text between
  for (std::size_t from = 0;;) {
    std::size_t position = none;
    const typename Tokens::value_type* match = nullptr;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto& token = tokens[i];
      if (next[i] < from) next[i] = text.find(token.content, from);
      if (next[i] == none) continue;
      if (next[i] < position ||
          (next[i] == position && token.content.size() > match->content.size())) {
        position = next[i];
        match = &token;
      }
    }
    if (match == nullptr) break;
    from = position + match->content.size();
    if (match->single_word && continues_a_word(text, position, from)) continue;
    if (position > start && !on_text(text.substr(start, position - start))) return;
    if (!on_token(match->id)) return;
    start = from;
  }
  if (start < text.size()) on_text(text.substr(start));
}

}  // namespace

std::vector<std::int32_t> ClipTokenizer::encode(std::string_view text, int max_length,
                                                bool* truncated) const {
  if (max_length < 2) {
    throw invalid_argument(fmt::format(
        "max_length is {}; at least 2 is needed for the start and end tokens", max_length));
  }
  if (const auto position = find_invalid_utf8(text)) {
    throw invalid_argument(fmt::format("the text is not UTF-8 at byte {}", *position));
  }
  if (text.size() >= (1U << 29)) throw invalid_argument("the text has half a gigabyte or more");
  const auto limit = static_cast<std::size_t>(max_length) - 2;
  Output output(limit);
  if (cleaning_ == ClipCleaning::kOpenClip) {
    encode_cleaned(lower_whole_text(repaired(text)), output);
  } else {
    encode_cleaned(text, output);
  }
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

void ClipTokenizer::encode_cleaned(std::string_view text, Output& output) const {
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
}

void ClipTokenizer::encode_raw(std::string_view piece, Output& output) const {
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

void ClipTokenizer::encode_normalized(std::string_view piece, Output& output) const {
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

void ClipTokenizer::encode_word(std::string_view word, Output& output) const {
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
