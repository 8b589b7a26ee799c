// A .safetensors file: its header, and every tensor that can be read as float32.

#include "encoder/safetensors.h"

#include <vector>

#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  const std::filesystem::path path = scratch_folder() / "model.safetensors";
  write_scratch(path, input);
  refusable([&] {
    const encoder::SafetensorsFile file(path);
    std::size_t bytes = 0;
    for (const auto& entry : file.tensors()) {
      const encoder::TensorInfo& tensor = entry.second;
      bytes += tensor.bytes.size();
      std::size_t elements = 1;
      for (const std::int64_t extent : tensor.shape) elements *= static_cast<std::size_t>(extent);
      require(elements == tensor.element_count(), "a shape does not fit its bytes");
      std::vector<float> values(elements);
      refusable([&] { encoder::read_float(tensor, values); });
    }
    require(bytes < input.size(), "the tensors have more bytes than the file");
  });
}

}  // namespace vitrine::fuzz
