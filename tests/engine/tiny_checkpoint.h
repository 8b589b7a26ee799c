#pragma once

#include <filesystem>

namespace vitrine::engine {

/// Writes a CLIP checkpoint in Hugging Face's layout into `folder`, which is created: one layer a
/// tower, 32x32 pixels, a vocabulary of bytes, random weights from `seed`.
void write_tiny_checkpoint(const std::filesystem::path& folder, int seed = 1);

}  // namespace vitrine::engine
