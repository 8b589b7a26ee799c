#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "encoder/encoder.h"

namespace vitrine::encoder {

/// Loads a CLIP checkpoint. options must be valid. Throws as load_encoder() does.
std::unique_ptr<Encoder> load_clip_encoder(const EncoderOptions& options);

}  // namespace vitrine::encoder
