#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "index/vector_index.h"

namespace faiss {
struct Index;
}

namespace vitrine::index {

/// One kind of index. To add one: a file that defines its IndexKind, and a line in kinds.cpp.
struct IndexKind {
  std::string_view name;
  /// vectors and spec are valid. FAISS's exceptions may escape.
  std::unique_ptr<VectorIndex> (*build)(MatrixView vectors, const IndexSpec& spec);
  /// Takes over an index read from a file. Null, and index untouched, when it is of another kind;
  /// Corruption (without the file's name) when it is of this kind but not sound.
  std::unique_ptr<VectorIndex> (*adopt)(std::unique_ptr<faiss::Index>& index);
};

extern const IndexKind kFlatKind;
extern const IndexKind kIvfKind;
extern const IndexKind kHnswKind;

/// Every kind there is.
std::span<const IndexKind* const> kinds();

}  // namespace vitrine::index
