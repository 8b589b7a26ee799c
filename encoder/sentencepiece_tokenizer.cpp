#include "encoder/sentencepiece_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "encoder/json_file.h"
#include "encoder/sentencepiece_json.h"
#include "encoder/sentencepiece_model.h"
#include "encoder/text_cleaning.h"
#include "encoder/unigram_model.h"

namespace vitrine::encoder {
namespace {

constexpr std::string_view kEndToken = "</s>";
constexpr std::string_view kUnknownToken = "<unk>";

/// Of a text only so much is read as ids may have room for: captions end long before.
constexpr std::size_t kMinTextBytes = 64 << 10;
constexpr std::size_t kMaxPieceBytes = 64;

std::string replace_all(std::string_view text, std::string_view old, std::string_view with) {
  std::string result;
  result.reserve(text.size());
  for (;;) {
    const std::size_t found = text.find(old);
    result += text.substr(0, found);
    if (found == std::string_view::npos) return result;
    result += with;
    text.remove_prefix(found + old.size());
  }
}

/// Cuts the text to max_bytes, between words where it can: the pieces of the words before do not
/// depend on those behind.
bool cut(std::string& text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return false;
  std::size_t end = text.rfind(' ', max_bytes);
  if (end == std::string::npos || end == 0) {
    end = max_bytes;
    const auto continues = [&] { return (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80; };
    while (end > 0 && continues()) --end;
  }
  text.resize(end);
  return true;
}

/// The token under this key is a string, or an object with "content".
void check_is_end_token(const JsonFields& fields, const char* key) {
  const nlohmann::json* token = fields.find(key);
  if (token == nullptr) return;
  const auto content = token->is_object() ? token->find("content") : token->end();
  const nlohmann::json& text = content == token->end() ? *token : *content;
  if (text != kEndToken) fields.fail(key, fmt::format("must be \"{}\"", kEndToken));
}

}  // namespace

class SentencePieceTokenizer::Impl {
 public:
  /// Throws Corruption when the model makes no sense.
  Impl(const SentencePieceModel& model, TextCleaning cleaning, bool lower_case)
      : model_(model), cleaning_(cleaning), lower_case_(lower_case) {
    end_id_ = model_.find(kEndToken);
    if (end_id_ == model_.unknown_id()) {
      throw corruption(fmt::format("the vocabulary has no \"{}\"", kEndToken));
    }
    unknown_token_id_ = model_.find(kUnknownToken);
    space_id_ = model_.find(kSpacePiece);
    prefix_pieces_ = model_.encode(kUnknownToken).size();
  }

  std::vector<std::int32_t> encode(std::string_view text, int max_length, bool* truncated) const {
    const auto limit = static_cast<std::size_t>(max_length) - 1;
    Output output{limit, kMinTextBytes + kMaxPieceBytes * limit, {}, false};
    const bool siglip = cleaning_ == TextCleaning::kSiglip;
    if (siglip) {
      encode_siglip(text, output);
    } else {
      encode_open_clip(text, output);
    }
    std::vector<std::int32_t>& ids = output.ids;
    const auto has_end = [&] { return siglip && !ids.empty() && ids.back() == end_id_; };
    const std::size_t needed = ids.size() + (has_end() ? 0 : 1);
    ids.resize(std::min(ids.size(), limit));
    if (!has_end()) ids.push_back(end_id_);
    if (truncated != nullptr) *truncated = output.cut || ids.size() < needed;
    return std::move(ids);
  }

  std::int32_t end_id() const { return end_id_; }
  int vocab_size() const { return model_.piece_count(); }

 private:
  /// Collects ids until there are more than wanted, whether the last is an end or not.
  struct Output {
    std::size_t limit;
    std::size_t max_bytes;  ///< that are read of a text
    std::vector<std::int32_t> ids;
    bool cut;  ///< the text is longer than that

    bool full() const { return cut || ids.size() > limit + 1; }
  };

  void encode_siglip(std::string_view text, Output& output) const {
    std::string prepared(kSpacePiece);
    prepared += replace_all(text, kSpacePiece, " ");
    if (lower_case_) prepared = lower_each_character(prepared);
    std::string_view rest = prepared;
    while (!rest.empty() && !output.full()) {
      const std::size_t end = rest.find(kEndToken);
      const std::size_t unknown = rest.find(kUnknownToken);
      const std::size_t found = std::min(end, unknown);
      encode_cleaned(without_punctuation(rest.substr(0, found), output.max_bytes), output);
      if (found == std::string_view::npos) break;
      const bool is_end = end < unknown;
      add_token(is_end ? end_id_ : unknown_token_id_, output);
      rest.remove_prefix(found + (is_end ? kEndToken : kUnknownToken).size());
    }
  }

  void encode_open_clip(std::string_view text, Output& output) const {
    const std::string lower = lower_whole_text(replace_all(repaired(text), "_", " "));
    encode_cleaned(std::string(kSpacePiece) + without_punctuation(lower, output.max_bytes), output);
  }

  /// A token that stands in the text. A model that does not drop spaces makes a piece of the one
  /// before the text; before a token there is none.
  void add_token(std::int32_t id, Output& output) const {
    if (output.full()) return;
    const bool after_space = output.ids.size() == 1 && output.ids.front() == space_id_;
    if (after_space && space_id_ != model_.unknown_id()) output.ids.clear();
    output.ids.push_back(id);
  }

  /// Spaces before a text are dropped, and the first "▁" is to stay: so the text follows something
  /// else, whose pieces are dropped.
  void encode_cleaned(std::string text, Output& output) const {
    output.cut = cut(text, output.max_bytes);
    const std::vector<std::int32_t> ids = model_.encode(std::string(kUnknownToken) + text);
    const std::size_t first = ids.size() >= prefix_pieces_ ? prefix_pieces_ : 0;
    output.ids.insert(output.ids.end(), ids.begin() + static_cast<std::ptrdiff_t>(first),
                      ids.end());
  }

  UnigramModel model_;
  TextCleaning cleaning_;
  bool lower_case_;
  std::int32_t unknown_token_id_ = 0;
  std::int32_t end_id_ = 0;
  std::int32_t space_id_ = 0;
  std::size_t prefix_pieces_ = 0;  ///< of the unknown token's text
};

SentencePieceTokenizer::SentencePieceTokenizer(std::unique_ptr<const Impl> impl)
    : impl_(std::move(impl)) {}
SentencePieceTokenizer::~SentencePieceTokenizer() = default;
SentencePieceTokenizer::SentencePieceTokenizer(SentencePieceTokenizer&&) noexcept = default;
SentencePieceTokenizer& SentencePieceTokenizer::operator=(SentencePieceTokenizer&&) noexcept =
    default;

SentencePieceTokenizer SentencePieceTokenizer::load(const std::filesystem::path& checkpoint_folder,
                                                    TextCleaning cleaning) {
  const std::filesystem::path model_file = checkpoint_folder / "spiece.model";
  const std::filesystem::path description = checkpoint_folder / "tokenizer.json";
  const bool has_model_file = std::filesystem::exists(model_file);
  const bool has_description = std::filesystem::exists(description);
  if (!has_model_file && !has_description) {
    throw not_found(
        fmt::format("{} has neither spiece.model nor tokenizer.json", checkpoint_folder.string()));
  }
  const bool is_model_file =
      has_model_file && (cleaning == TextCleaning::kSiglip || !has_description);
  const std::filesystem::path& path = is_model_file ? model_file : description;
  bool lower_case = true;
  if (const auto config_path = checkpoint_folder / "tokenizer_config.json";
      std::filesystem::exists(config_path)) {
    const nlohmann::json config = read_json_object(config_path, kMaxConfigBytes);
    const JsonFields fields(config, config_path.string(), "");
    fields.read_flag("do_lower_case", lower_case);
    for (const char* key : {"pad_token", "eos_token"}) check_is_end_token(fields, key);
  }
  const SentencePieceModel model =
      is_model_file ? read_sentencepiece_model(path) : read_unigram_json(path);
  try {
    return SentencePieceTokenizer(std::make_unique<const Impl>(model, cleaning, lower_case));
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", path.string(), error.what()));
  }
}

std::vector<std::int32_t> SentencePieceTokenizer::encode(std::string_view text, int max_length,
                                                         bool* truncated) const {
  if (max_length < 1) {
    throw invalid_argument(
        fmt::format("max_length is {}; at least 1 is needed for the end token", max_length));
  }
  if (const auto position = find_invalid_utf8(text)) {
    throw invalid_argument(fmt::format("the text is not UTF-8 at byte {}", *position));
  }
  if (text.size() >= (1U << 29)) throw invalid_argument("the text has half a gigabyte or more");
  return impl_->encode(text, max_length, truncated);
}

std::int32_t SentencePieceTokenizer::pad_id() const { return impl_->end_id(); }
int SentencePieceTokenizer::vocab_size() const { return impl_->vocab_size(); }

}  // namespace vitrine::encoder
