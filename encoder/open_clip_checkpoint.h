#pragma once

#include <filesystem>

#include "encoder/clip_checkpoint.h"

namespace vitrine::encoder {

/// The layout of the open_clip library: open_clip_config.json, open_clip_model.safetensors (or
/// model.safetensors), and the tokenizer's files. Both towers must be transformers of the plain
/// CLIP kind (vocab.json with merges.txt, or tokenizer.json), or SigLIP's (spiece.model or
/// tokenizer.json).

/// Whether the folder has an open_clip_config.json.
bool is_open_clip(const std::filesystem::path& folder);

/// Throws NotFound (a file is missing), Corruption (a file is damaged, or the weights do not match
/// the config; lists every difference), InvalidArgument (not supported; names the key).
ClipCheckpoint read_open_clip(const std::filesystem::path& folder);

}  // namespace vitrine::encoder
