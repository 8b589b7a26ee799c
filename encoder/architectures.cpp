#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "encoder/clip_encoder.h"
#include "encoder/encoder.h"

namespace vitrine::encoder {
namespace {

struct Architecture {
  std::string_view model_type;  // as config.json says it
  std::unique_ptr<Encoder> (*load)(const EncoderOptions&);
};

/// A new architecture is a new file and a line here.
constexpr Architecture kArchitectures[] = {
    {"clip", load_clip_encoder},
};

constexpr std::uint64_t kMaxConfigBytes = 16 << 20;

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
}

std::unique_ptr<Encoder> load_encoder(const EncoderOptions& options) {
  options.validate();
  const std::filesystem::path path = std::filesystem::path(options.model) / "config.json";
  const nlohmann::json config = nlohmann::json::parse(read_file(path, kMaxConfigBytes), nullptr,
                                                      /*allow_exceptions=*/false);
  if (!config.is_object()) throw corruption(path.string() + " is not a JSON object");
  const auto type = config.find("model_type");
  if (type == config.end() || !type->is_string()) {
    throw invalid_argument(path.string() + ": model_type is missing");
  }
  const auto& name = type->get_ref<const std::string&>();
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.model_type == name) return architecture.load(options);
    known += known.empty() ? "" : ", ";
    known += architecture.model_type;
  }
  throw invalid_argument(fmt::format("{}: model_type is \"{}\"; supported: {}", path.string(),
                                     printable(name), known));
}

}  // namespace vitrine::encoder
