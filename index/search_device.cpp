#include "index/search_device.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "index/gpu/cuda_device.h"

namespace vitrine::index {
namespace {

constexpr DevicePreference kPreferences[] = {DevicePreference::kAuto, DevicePreference::kCpu,
                                             DevicePreference::kCuda};

}  // namespace

std::string_view to_string(DevicePreference preference) {
  switch (preference) {
    case DevicePreference::kAuto:
      return "auto";
    case DevicePreference::kCpu:
      return "cpu";
    case DevicePreference::kCuda:
      return "cuda";
  }
  throw internal_error("unknown device");
}

DevicePreference parse_device_preference(std::string_view name) {
  for (const DevicePreference preference : kPreferences) {
    if (to_string(preference) == name) return preference;
  }
  throw invalid_argument(
      fmt::format("index device is \"{}\"; auto, cpu and cuda are valid", printable(name)));
}

FoundDevice find_search_device(DevicePreference preference) {
  if (preference == DevicePreference::kCpu) return {};
  return find_cuda_device();
}

}  // namespace vitrine::index
