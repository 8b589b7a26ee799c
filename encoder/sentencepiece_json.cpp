#include "encoder/sentencepiece_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/base64.h"
#include "base/error.h"
#include "base/text.h"
#include "encoder/json_file.h"
#include "encoder/tokenizer_description.h"

namespace vitrine::encoder {
namespace {

using Json = nlohmann::json;

/// Of a unigram tokenizer.
class Description : public TokenizerDescription {
 public:
  Description(const Json& json, std::string file)
      : TokenizerDescription(json, std::move(file),
                             "of unigram tokenizers only T5's is supported") {}

  SentencePieceModel read() const {
    expect("/model/type", "Unigram");
    check_pre_tokenizer();
    expect("/post_processor/type", "TemplateProcessing");
    expect("/post_processor/single", Json::parse(R"([{"Sequence": {"id": "A", "type_id": 0}},
                           {"SpecialToken": {"id": "</s>", "type_id": 0}}])"));
    SentencePieceModel model;
    model.charsmap = read_charsmap();
    read_pieces(model);
    read_byte_fallback(model);
    return model;
  }

 private:
  [[noreturn]] void damaged(const std::string& what) const {
    throw corruption(fmt::format("{}: {}", file(), what));
  }

  void check_pre_tokenizer() const;
  void check_metaspace(const std::string& place) const;
  std::string read_charsmap() const;
  void read_pieces(SentencePieceModel& model) const;
  void read_byte_fallback(SentencePieceModel& model) const;
};

/// "Metaspace", behind "WhitespaceSplit" in older files: in a text whose white space is single
/// spaces both are the same.
void Description::check_pre_tokenizer() const {
  const std::string place = "/pre_tokenizer";
  if (at(place + "/type") != "Sequence") {
    check_metaspace(place);
    return;
  }
  expect(place + "/pretokenizers/0/type", "WhitespaceSplit");
  check_metaspace(place + "/pretokenizers/1");
  expect(place + "/pretokenizers/2", nullptr);
}

void Description::check_metaspace(const std::string& place) const {
  expect(place + "/type", "Metaspace");
  expect(place + "/replacement", kSpacePiece);
  // Newer files have the first, older the second, some both.
  const Json& scheme = at(place + "/prepend_scheme");
  if (scheme.is_null()) {
    expect(place + "/add_prefix_space", true);
  } else if (scheme != "first") {
    expect(place + "/prepend_scheme", "always");
  }
  if (!at(place + "/split").is_null()) expect(place + "/split", true);
}

/// Alone, or before what SentencePiece does itself to the spaces that the rules have made.
std::string Description::read_charsmap() const {
  std::string place = "/normalizer";
  if (at(place + "/type") == "Sequence") {
    const Json& steps = at(place + "/normalizers");
    for (std::size_t i = 1; i < steps.size(); ++i) {
      const std::string step = fmt::format("{}/normalizers/{}", place, i);
      if (at(step + "/type") == "Strip") {
        expect(step + "/strip_left", false);
        continue;
      }
      expect(step + "/type", "Replace");
      expect(step + "/pattern", {{"Regex", " {2,}"}});
      if (at(step + "/content") != kSpacePiece) expect(step + "/content", " ");
    }
    place += "/normalizers/0";
  }
  expect(place + "/type", "Precompiled");
  place += "/precompiled_charsmap";
  const Json& text = at(place);
  if (!text.is_string()) fail(place, "base64");
  try {
    return decode_base64(text.get_ref<const std::string&>());
  } catch (const Error& error) {
    damaged(fmt::format("{} is {}", place, error.what()));
  }
}

void Description::read_pieces(SentencePieceModel& model) const {
  using PieceType = SentencePieceModel::PieceType;
  const Json& described = json()["model"];
  const auto vocab = described.find("vocab");
  if (vocab == described.end() || !vocab->is_array()) damaged("/model/vocab is not an array");
  model.pieces.reserve(vocab->size());
  for (const Json& entry : *vocab) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number() ||
        !(std::abs(entry[1].get<double>()) <= std::numeric_limits<float>::max())) {
      damaged(fmt::format("/model/vocab/{} is not a piece and its score: {}", model.pieces.size(),
                          printable(entry.dump())));
    }
    model.pieces.push_back({entry[0].get<std::string>(), entry[1].get<float>()});
  }
  const auto type_of = [&](const Json& id, const std::string& place) -> PieceType& {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= model.pieces.size()) {
      damaged(fmt::format("{} is {}; the vocabulary has {} pieces", place, printable(id.dump()),
                          model.pieces.size()));
    }
    return model.pieces[id.get<std::size_t>()].type;
  };
  const auto added = json().find("added_tokens");
  if (added != json().end()) {
    for (const Json& token : *added) {
      if (!token.is_object() || !token.contains("id") || !token.contains("content")) {
        damaged("/added_tokens has an entry without id or content");
      }
      // Ids behind the vocabulary are of tokens that no canonical text contains.
      const Json& id = token["id"];
      if (id.is_number_unsigned() && id.get<std::uint64_t>() >= model.pieces.size()) continue;
      type_of(id, "an id of /added_tokens") = PieceType::kControl;
    }
  }
  type_of(at("/model/unk_id"), "/model/unk_id") = PieceType::kUnknown;
}

/// Older files leave it out although the model had it; their unknown characters stay unknown.
void Description::read_byte_fallback(SentencePieceModel& model) const {
  const std::string place = "/model/byte_fallback";
  if (const Json& flag = at(place); flag.is_null() || flag == false) return;
  expect(place, true);
  model.byte_fallback = true;
  constexpr std::size_t kByteSize = std::string_view("<0x00>").size();
  for (SentencePieceModel::Piece& piece : model.pieces) {
    const bool is_byte = piece.text.size() == kByteSize && piece.text.starts_with("<0x");
    if (is_byte) piece.type = SentencePieceModel::PieceType::kByte;
  }
}

}  // namespace

SentencePieceModel read_unigram_json(const std::filesystem::path& path) {
  const Json json = read_json_object(path, kMaxSentencePieceBytes);
  return Description(json, path.string()).read();
}

}  // namespace vitrine::encoder
