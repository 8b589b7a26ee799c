#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/npy.h"
#include "engine/target.h"
#include "storage/vector_files.h"

namespace vitrine::engine {

/// The embeddings of a catalog file's products in files. Rows stay in the files until they are
/// asked for. Any calls may overlap.
class ImportedVectors {
 public:
  /// Checks all that needs no row to be read. Throws NotFound, or InvalidArgument naming the file:
  /// no .npy file, another width than `dimension`, unequal numbers of rows, an id twice.
  ImportedVectors(const storage::VectorFiles& files, std::size_t dimension);

  /// Whether the file is there that has this target's.
  bool has(Target target) const { return target == Target::kImage || captions_.has_value(); }

  /// Throws InvalidArgument when rows are told by their position, and there is not one for each of
  /// the catalog file's records.
  void check_records(std::uint64_t records, const std::string& catalog_file) const;

  /// The row of a product, the record's 1-based number in its file; nothing when the list of ids
  /// lacks it. record: at most what was checked.
  std::optional<std::size_t> row_of(std::uint64_t record, std::string_view id) const;

  /// Reads a row and scales it to unit length. Returns what is wrong with it; empty: nothing.
  /// vector: [dimension].
  std::string read(Target target, std::size_t row, std::span<float> vector) const;

 private:
  const storage::VectorFiles files_;
  NpyReader images_;
  std::optional<NpyReader> captions_;
  std::vector<std::string> ids_;                            // by row; empty: by position
  std::unordered_map<std::string_view, std::size_t> rows_;  // views into ids_
};

}  // namespace vitrine::engine
