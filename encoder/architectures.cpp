#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/error.h"
#include "encoder/clip_encoder.h"
#include "encoder/encoder.h"
#include "encoder/golden_vectors.h"
#include "encoder/open_clip_checkpoint.h"
#include "encoder/transformers_checkpoint.h"

namespace vitrine::encoder {
namespace {

struct CheckpointFormat {
  /// Whether the folder holds such a checkpoint, complete enough to be preferred to the next
  /// format.
  bool (*recognizes)(const std::filesystem::path& folder);
  std::unique_ptr<Encoder> (*load)(const EncoderOptions& options);
};

template <ClipCheckpoint (*read)(const std::filesystem::path&)>
std::unique_ptr<Encoder> load_clip(const EncoderOptions& options) {
  return make_clip_encoder(options, read(options.model));
}

/// The first that recognizes a folder loads it; where none does, kMostCommon says why. A new format
/// or architecture is a new file and a line here.
constexpr CheckpointFormat kFormats[] = {
    {is_transformers_clip, load_clip<read_transformers_clip>},
    {is_transformers_siglip, load_clip<read_transformers_siglip>},
    {is_open_clip, load_clip<read_open_clip>},
};
constexpr auto kMostCommon = load_clip<read_transformers>;

}  // namespace

void EncoderOptions::validate() const {
  if (model.empty())
    throw invalid_argument("encoder model is empty; a checkpoint folder is needed");
  if (threads < 0 || threads > 1024) {
    throw invalid_argument(fmt::format("encoder threads is {}; 0 to 1024 are valid", threads));
  }
  if (max_batch < 1 || max_batch > 1024) {
    throw invalid_argument(fmt::format("encoder max_batch is {}; 1 to 1024 are valid", max_batch));
  }
  image.validate();
}

Matrix Encoder::encode_texts(std::span<const std::string> texts) const {
  std::vector<TokenizedText> tokenized;
  tokenized.reserve(texts.size());
  for (const std::string& text : texts) tokenized.push_back(tokenize(text));
  return encode_tokenized(tokenized);
}

std::unique_ptr<Encoder> load_encoder(const EncoderOptions& options) {
  options.validate();
  const auto* format = std::ranges::find_if(
      kFormats, [&](const CheckpointFormat& f) { return f.recognizes(options.model); });
  std::unique_ptr<Encoder> encoder =
      format == std::end(kFormats) ? kMostCommon(options) : format->load(options);
  check_golden_vectors(*encoder, options.model);
  return encoder;
}

}  // namespace vitrine::encoder
