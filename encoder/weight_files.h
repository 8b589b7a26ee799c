#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "encoder/safetensors.h"

namespace vitrine::encoder {

/// The tensors of a checkpoint's .safetensors file, or of the shards it was split into. The files
/// are mapped as long as the object lives. Movable; const methods may overlap.
class WeightFiles {
 public:
  /// Opens the first of `<stem>.safetensors` and `<stem>.safetensors.index.json`, stem by stem. An
  /// index maps each tensor to the shard that holds it: a file of the same folder, named without a
  /// path. Throws NotFound when there is none (InvalidArgument that says how to convert when there
  /// is only a legacy .bin file), and Corruption when a file is damaged or when index and shards
  /// disagree.
  static WeightFiles open(const std::filesystem::path& folder, std::span<const char* const> stems);
  /// Whether open() has a file to start from.
  static bool exist(const std::filesystem::path& folder, std::span<const char* const> stems);

  /// The bytes of the tensors are valid as long as this object.
  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  /// The file, or the index, for messages.
  const std::filesystem::path& path() const { return paths_.front(); }
  /// All files read: path(), then the shards.
  const std::vector<std::filesystem::path>& paths() const { return paths_; }

 private:
  WeightFiles() = default;
  void open_shards(const std::filesystem::path& index);

  std::vector<std::filesystem::path> paths_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, TensorInfo> tensors_;
};

}  // namespace vitrine::encoder
