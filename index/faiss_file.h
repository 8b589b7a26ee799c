#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "index/codes.h"

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

/// Atomic and durable; nothing large is copied. Throws as VectorIndex::save().
/// index: ivf with its vectors; the others with an empty storage, of which vectors take the
/// place. vectors: [rows, index.d], or null when index has its vectors. write_codes: hands over the
/// codes.
void write_index_file(const faiss::Index& index, const float* vectors, std::size_t rows,
                      const std::function<void(const WriteBytes& write)>& write_codes,
                      const std::filesystem::path& path);
void write_index_file(const faiss::Index& index, const float* vectors, std::size_t rows,
                      const CodeTable& codes, const std::filesystem::path& path);

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
  std::size_t faiss_bytes = 0;  ///< that were read, and are held in memory

  /// Throws Corruption when they do not fit rows and dimension.
  CodeTable code_table() const;
};

/// Verifies the digest of the whole file before FAISS parses: FAISS allocates what a damaged header
/// asks for. Throws NotFound or Corruption. The index is not checked any further.
IndexFile read_index_file(const std::filesystem::path& path);

}  // namespace vitrine::index
