#pragma once

#include <memory>

#include "encoder/clip_checkpoint.h"
#include "encoder/encoder.h"

namespace vitrine::encoder {

/// Packs the checkpoint's weights into an encoder. options must be valid. Throws Corruption when
/// a weight is not finite, ResourceExhausted when the memory does not suffice.
std::unique_ptr<Encoder> make_clip_encoder(const EncoderOptions& options,
                                           ClipCheckpoint checkpoint);

}  // namespace vitrine::encoder
