#pragma once

#include "encoder/checkpoint_weights.h"
#include "encoder/clip_config.h"
#include "encoder/weight_files.h"

namespace vitrine::encoder {

/// Where open_clip's files hold the weights of a model of this config. What begins all names, or
/// those of the text tower, depends on the class that saved them, and is looked up in the files.
WeightLayout open_clip_layout(const ClipConfig& config, const WeightFiles& files);

}  // namespace vitrine::encoder
