#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "encoder/json_file.h"

namespace vitrine::encoder {

/// The settings of a checkpoint folder's image processor, as transformers writes them: to
/// preprocessor_config.json, and from version 5 on to processor_config.json, among those of all
/// parts of a processor. Where both are there, the first is read.
struct ImageProcessorFile {
  std::filesystem::path path;
  nlohmann::json settings;
  std::string prefix;  ///< of the keys, for messages

  /// Throws NotFound that names both files, Corruption when the one is not JSON, InvalidArgument
  /// when what it has is not an object.
  static ImageProcessorFile read(const std::filesystem::path& checkpoint_folder);
  /// The name of the file that read() reads, whether it is there or not.
  static const char* name_in(const std::filesystem::path& checkpoint_folder);

  JsonFields fields() const { return {settings, path.string(), prefix}; }
};

}  // namespace vitrine::encoder
