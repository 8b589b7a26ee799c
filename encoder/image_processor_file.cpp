#include "encoder/image_processor_file.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace vitrine::encoder {
namespace {

constexpr const char* kOwnFile = "preprocessor_config.json";
constexpr const char* kCommonFile = "processor_config.json";
constexpr const char* kKey = "image_processor";

}  // namespace

const char* ImageProcessorFile::name_in(const std::filesystem::path& checkpoint_folder) {
  return std::filesystem::exists(checkpoint_folder / kOwnFile) ? kOwnFile : kCommonFile;
}

ImageProcessorFile ImageProcessorFile::read(const std::filesystem::path& checkpoint_folder) {
  std::filesystem::path path = checkpoint_folder / name_in(checkpoint_folder);
  if (path.filename() == kOwnFile) {
    nlohmann::json settings = read_json_object(path, kMaxConfigBytes);
    return {std::move(path), std::move(settings), ""};
  }
  nlohmann::json all = nlohmann::json::object();
  if (std::filesystem::exists(path)) all = read_json_object(path, kMaxConfigBytes);
  const JsonFields fields(all, path.string(), "");
  const nlohmann::json* settings = fields.find(kKey);
  if (settings == nullptr) {
    throw not_found(fmt::format("{} has neither {} nor a {} with \"{}\"",
                                checkpoint_folder.string(), kOwnFile, kCommonFile, kKey));
  }
  if (!settings->is_object()) fields.fail(kKey, "must be an object");
  return {path, *settings, fmt::format("{}.", kKey)};
}

}  // namespace vitrine::encoder
