#pragma once

#include <string>
#include <vector>

#include "encoder/safetensors.h"

namespace vitrine::encoder {

/// All elements of a tensor of the file.
inline std::vector<float> read_floats(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo& tensor = file.tensors().at(name);
  std::vector<float> values(tensor.element_count());
  read_float(tensor, values);
  return values;
}

}  // namespace vitrine::encoder
