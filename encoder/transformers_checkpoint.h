#pragma once

#include <filesystem>

#include "encoder/clip_checkpoint.h"

namespace vitrine::encoder {

/// The layout of Hugging Face's transformers: config.json, model.safetensors (or shards and
/// model.safetensors.index.json), an ImageProcessorFile, and the files of the tokenizer: CLIP's
/// vocab.json with merges.txt, or tokenizer.json; SigLIP's spiece.model or tokenizer.json.

/// Whether the folder is a checkpoint of the model in this layout that has its weights.
bool is_transformers_clip(const std::filesystem::path& folder);
bool is_transformers_siglip(const std::filesystem::path& folder);

/// Throw NotFound (a file is missing), Corruption (a file is damaged, or the weights do not match
/// the config; lists every difference), InvalidArgument (not supported, or the files contradict
/// each other).
ClipCheckpoint read_transformers_clip(const std::filesystem::path& folder);
ClipCheckpoint read_transformers_siglip(const std::filesystem::path& folder);
/// The one of them that config.json is of; for a folder that is neither, whose error says what is
/// missing or not supported.
ClipCheckpoint read_transformers(const std::filesystem::path& folder);

}  // namespace vitrine::encoder
