#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "encoder/clip_config.h"
#include "encoder/image_processor.h"

namespace vitrine::encoder {

/// What model_cfg of an open_clip_config.json says. root: the file's object; file: its name, for
/// messages. Throws InvalidArgument that names the file and the key of what is not supported: all
/// that is not known to leave the embeddings as they are.
ClipConfig read_open_clip_model(const nlohmann::json& root, const std::string& file);

/// The same of preprocess_cfg, for images of the vision tower's size, in pixels.
ImageProcessor read_open_clip_processor(const nlohmann::json& root,
                                        const std::filesystem::path& path, std::int64_t image_size);

}  // namespace vitrine::encoder
