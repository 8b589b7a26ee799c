#pragma once

#include <filesystem>

#include "encoder/clip_checkpoint.h"

namespace vitrine::encoder {

/// The layout of Hugging Face's transformers: config.json, model.safetensors (or shards and
/// model.safetensors.index.json), preprocessor_config.json, and vocab.json with merges.txt or
/// tokenizer.json.

/// Whether the folder is a CLIP checkpoint in this layout that has its weights.
bool is_transformers_clip(const std::filesystem::path& folder);

/// Throws NotFound (a file is missing), Corruption (a file is damaged, or the weights do not match
/// the config; lists every difference), InvalidArgument (not supported, or the files contradict
/// each other).
ClipCheckpoint read_transformers_clip(const std::filesystem::path& folder);

}  // namespace vitrine::encoder
