#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "index/codes.h"
#include "index/search_tables.h"
#include "index/vector_table.h"

namespace faiss {
struct Index;
}

namespace vitrine::index {

/// The file is what FAISS writes, zeros up to a multiple of 64 bytes, the codes (CodeTable, or
/// PqLists of an ivf_pq index), and a trailer of 72 bytes: 16 of magic, the size of FAISS's part,
/// the codes' place and size (8 each, little endian), and the digest (checksum.h, 32) of all bytes
/// before it. FAISS reads from the front and stops at its own end, so that the rest is invisible to
/// it; a checksum in the same file can neither get lost nor fall out of step with it.
///
/// FAISS writes the float32 vectors of flat, hnsw and ivf_pq indices last (but for four bytes of
/// the latter), and of an ivf index the lists. Those stay in the mapped file. An hnsw index's graph
/// is read here. Nothing else of an ivf_pq index is read from FAISS's part: that is for FAISS
/// alone.

/// Takes bytes, piece by piece.
using WriteBytes = std::function<void(std::string_view)>;
/// Hands bytes over to write, piece by piece.
using WritePart = std::function<void(const WriteBytes& write)>;

/// Atomic and durable; keeps a piece at a time in memory. Throws as VectorIndex::save().
/// write_faiss: hands over what FAISS writes of the index. write_codes: the codes.
void write_index_file(const WritePart& write_faiss, const WritePart& write_codes,
                      const std::filesystem::path& path);

// These put together what FAISS writes of an index: FAISS itself writes one that has nothing large,
// and what is large goes in between from where it lies, without a copy.

/// What FAISS writes of an index.
std::string faiss_bytes(const faiss::Index& index);
/// The first of that: name, dimension, number of vectors, metric.
std::string faiss_header(const faiss::Index& index);
/// What it writes of an index whose invlists are null, up to where lists come.
std::string faiss_bytes_before_lists(const faiss::Index& index);

/// What FAISS writes of lists. rows: of all places. code_bytes: of a vector in a list. write_codes:
/// hands over those of a list that is not empty.
void write_lists(std::span<const PlaceRange> lists, const std::int32_t* rows,
                 std::size_t code_bytes,
                 const std::function<void(const PlaceRange& list)>& write_codes,
                 const WriteBytes& write);
/// What FAISS writes of a flat index. vectors: in one block.
void write_flat(const VectorTable& vectors, const WriteBytes& write);

/// A list of an ivf index, in a file or in FAISS's hands: at any address, not aligned.
struct InvertedList {
  std::size_t count = 0;
  const float* vectors = nullptr;  ///< [count, dimension]
  const char* rows = nullptr;      ///< [count] of 8 bytes each
};

/// What a file holds. Its parts stay where they are as long as `file` does.
struct IndexFile {
  std::shared_ptr<const MappedFile> file;
  /// flat: without vectors; ivf: with empty lists; hnsw, ivf_pq: null
  std::unique_ptr<faiss::Index> index;
  std::size_t rows = 0;
  std::size_t dimension = 0;
  /// [rows, dimension], at any address: not aligned for float. Null of an ivf index.
  const float* vectors = nullptr;
  std::string_view graph;           ///< of an hnsw index, as Graph takes it
  std::vector<InvertedList> lists;  ///< of an ivf index; together they have as many as it has rows
  std::string_view codes;

  /// Throws Corruption when they do not fit rows and dimension.
  CodeTable code_table() const;
};

/// Verifies the digest of the whole file before FAISS parses: FAISS allocates what a damaged header
/// asks for. The index is not checked any further. Throws NotFound; Corruption, which does not name
/// the file; std::bad_alloc.
IndexFile read_index_file(const std::filesystem::path& path);

}  // namespace vitrine::index
