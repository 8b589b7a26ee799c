#include "encoder/precision.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::encoder {
namespace {

constexpr Precision kPrecisions[] = {Precision::kAuto, Precision::kFloat32, Precision::kBFloat16,
                                     Precision::kInt8};

constexpr Device kDevices[] = {Device::kAuto, Device::kCpu, Device::kCuda};

}  // namespace

std::string_view to_string(Precision precision) {
  switch (precision) {
    case Precision::kAuto:
      return "auto";
    case Precision::kFloat32:
      return "float32";
    case Precision::kBFloat16:
      return "bfloat16";
    case Precision::kInt8:
      return "int8";
  }
  throw internal_error("unknown precision");
}

Precision parse_precision(std::string_view name) {
  for (const Precision precision : kPrecisions) {
    if (to_string(precision) == name) return precision;
  }
  throw invalid_argument(fmt::format(
      "precision is \"{}\"; auto, float32, bfloat16 and int8 are valid", printable(name)));
}

std::string_view to_string(Device device) {
  switch (device) {
    case Device::kAuto:
      return "auto";
    case Device::kCpu:
      return "cpu";
    case Device::kCuda:
      return "cuda";
  }
  throw internal_error("unknown device");
}

Device parse_device(std::string_view name) {
  for (const Device device : kDevices) {
    if (to_string(device) == name) return device;
  }
  throw invalid_argument(
      fmt::format("device is \"{}\"; auto, cpu and cuda are valid", printable(name)));
}

}  // namespace vitrine::encoder
