#pragma once

#include <string_view>

namespace vitrine::encoder {

/// The arithmetic of the towers. Sums, LayerNorm, softmax, residuals and the final projection are
/// float32 in all of them.
enum class Precision {
  kAuto,      ///< kBFloat16 where the CPU has instructions for bfloat16, else kFloat32
  kFloat32,   ///< as the reference computes
  /// Weights and inputs of the linear layers in 16 bits: bfloat16 where the CPU multiplies it fast,
  /// block floating point elsewhere; see docs/encoder.md.
  kBFloat16,
  kInt8,  ///< those of the blocks' layers in 256 equal steps, but for outliers; see docs/encoder.md
};

std::string_view to_string(Precision precision);
/// "auto", "float32", "bfloat16" or "int8". Throws InvalidArgument that lists them.
Precision parse_precision(std::string_view name);

/// Where the towers run.
enum class Device {
  kAuto,  ///< kCuda where LibTorch finds a device and no precision is asked for, else kCpu
  kCpu,
  kCuda,  ///< the first CUDA device
};

std::string_view to_string(Device device);
/// "auto", "cpu" or "cuda". Throws InvalidArgument that lists them.
Device parse_device(std::string_view name);

}  // namespace vitrine::encoder
