#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "index/faiss_file.h"
#include "index/vector_index.h"

namespace vitrine::index {

/// One kind of index. To add one: a file that defines its IndexKind, and a line in kinds.cpp.
struct IndexKind {
  std::string_view name;
  /// vectors and spec are valid. progress: may be empty. FAISS's exceptions may escape.
  std::unique_ptr<VectorIndex> (*build)(MatrixView vectors, const IndexSpec& spec,
                                        const BuildProgress& progress);
  /// Takes over what a file holds. Null, and file untouched, when it is of another kind; Corruption
  /// (without the file's name) when it is of this kind but not sound.
  std::unique_ptr<VectorIndex> (*adopt)(IndexFile& file);
};

extern const IndexKind kFlatKind;
extern const IndexKind kIvfKind;
extern const IndexKind kIvfPqKind;
extern const IndexKind kHnswKind;

/// Every kind there is.
std::span<const IndexKind* const> kinds();

}  // namespace vitrine::index
