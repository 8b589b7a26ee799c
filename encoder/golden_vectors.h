#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "encoder/encoder.h"
#include "encoder/image.h"

namespace vitrine::encoder {

/// A checkpoint may bring golden.json: some texts and small images with the embeddings that its
/// float32 arithmetic gave when it was made. Encoding them anew, in the precision that runs, proves
/// in milliseconds that the weights are whole and that this build computes rightly on this CPU.
///
///     {"texts":  [{"text": "a red dress", "embedding": [d numbers]}, ...],
///      "images": [{"height": h, "width": w, "rgb": [h * w * 3 integers, HWC], "embedding":
///      [...]}]}
///
/// Embeddings have unit length. The file is no part of the fingerprint.
inline constexpr const char* kGoldenFile = "golden.json";

/// Does nothing when the folder has no golden.json. Throws Corruption that names the input and how
/// far it is off, or what is wrong with the file. Allowed: 1e-4 in every component (float32), a
/// cosine of at least 0.99 (int8) or 0.9995 (anything else).
void check_golden_vectors(const Encoder& encoder, const std::filesystem::path& checkpoint_folder);

/// Writes golden.json with the embeddings this encoder gives, atomically. Throws
/// FailedPrecondition unless it computes in float32.
void write_golden_vectors(const Encoder& encoder, std::span<const std::string> texts,
                          std::span<const Image> images,
                          const std::filesystem::path& checkpoint_folder);

}  // namespace vitrine::encoder
