#pragma once

#include <string>

namespace vitrine::storage {

/// Files that the embeddings of a catalog file's products come from, instead of the encoder.
struct VectorFiles {
  /// .npy, [records of the catalog file, dimension], float32 or float16: of the images.
  std::string images;
  /// The same of the captions. Empty: captions are encoded.
  std::string captions;
  /// An id a line: line i+1 says whose row i of the matrices is. Empty: row i is of the catalog
  /// file's record i+1.
  std::string ids;

  bool operator==(const VectorFiles&) const = default;
};

}  // namespace vitrine::storage
