#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "index/row_set.h"
#include "index/search_device.h"

/// Nearest-neighbour search over unit vectors by cosine (the inner product of unit vectors).
/// A row is the position of a vector in the matrix the index was built from, counted from 0.
namespace vitrine::index {

/// Stands where a hit is missing, which happens only when k exceeds the number of vectors that may
/// be hits.
constexpr std::int64_t kNoRow = -1;
/// Largest k of one search.
constexpr int kMaxK = 10000;

/// How to build an index. Fields of other kinds than `kind` are checked but not used.
struct IndexSpec {
  /// One of index_kinds(). "flat" scans everything: exact, nothing to build, fastest below some
  /// 10,000 vectors. "ivf" scans the nearest of `nlist` lists: builds in seconds. "ivf_pq" scans
  /// them by codes of `pq_bytes` and compares only the best in float32: the least memory. "hnsw"
  /// walks a graph: the fastest search and the slowest build, and hnsw_m * 8 bytes a vector on top.
  std::string kind = "flat";
  /// Lists of an ivf or ivf_pq index. 0: about 4 * sqrt(vectors). Never more lists than vectors are
  /// made. Valid: [0, 1000000].
  int nlist = 0;
  /// Links of an hnsw node on each level, twice that on the lowest. Higher: better recall, more
  /// memory, slower build. Valid: [2, 256].
  int hnsw_m = 32;
  /// Beam width while an hnsw graph is built, in nodes. Higher: better graph, slower build.
  /// Valid: [1, 4096].
  int ef_construction = 200;
  /// Bytes of a vector's code in an ivf_pq index, each of two sub-quantisers of 4 bits. More:
  /// better recall, more memory, slower. Never more than half the dimension, rounded up, are used.
  /// Valid: [1, 128].
  int pq_bytes = 64;

  bool operator==(const IndexSpec&) const = default;

  /// Throws InvalidArgument naming the field.
  void validate() const;
};

/// How to answer one search. Fields that do not concern the index's kind are checked but not used.
struct SearchOptions {
  /// Compares the query with every vector, whatever the kind: recall 1.
  bool exact = false;
  /// Lists an ivf or ivf_pq search scans. Higher: better recall, slower; from the number of lists
  /// on it is exact. Lists beyond it are scanned only while fewer than k vectors were seen. Valid:
  /// [1, 1000000].
  int nprobe = 16;
  /// Beam width of an hnsw search, in nodes; k where that is larger. Higher: better recall,
  /// slower. Valid: [1, 10000].
  int ef_search = 64;
  /// Vectors that an ivf_pq search compares in float32 for each hit wanted, 64 at least. Higher:
  /// better recall, slower. Valid: [1, 100].
  int rescore = 10;
  /// Only these rows are hits; null: all. Its size must be the index's; it is not owned. Under it
  /// an ivf search compares more rows than without, and an hnsw search walks as far as it takes to
  /// meet as many allowed ones; where comparing every allowed row is cheaper, either does that.
  const RowSet* allowed = nullptr;

  /// Throws InvalidArgument naming the field.
  void validate() const;
};

/// Hits of a batch of queries, row-major [queries, k]. Hits of one query come best first, equal
/// scores by ascending row. scores are cosines in about [-1, 1] (rounding may exceed it by 1e-6);
/// a missing hit has row kNoRow and score -infinity.
struct SearchResult {
  std::size_t queries = 0;
  std::size_t k = 0;
  std::vector<std::int64_t> rows;
  std::vector<float> scores;
};

/// What an index takes, in bytes.
struct IndexMemory {
  /// Of the file, used where it is mapped: the system keeps in memory what is in use. 0 of an index
  /// that was built rather than opened.
  std::size_t mapped = 0;
  /// About what is beside that, but for what searches work with: all of an index that was built; of
  /// one that was opened what is copied out of the file or made of it, such as the graph of an hnsw
  /// index, or the centroids and the row numbers of an ivf one.
  std::size_t heap = 0;
};

/// Told how many of how many vectors are in the index that is being built, from any thread, several
/// calls at once. To stop the building it throws: what it throws is what build_index throws.
using BuildProgress = std::function<void(std::size_t done, std::size_t total)>;

/// An immutable set of unit vectors that can be searched. Every method may be called from many
/// threads at once; a search uses the OpenMP threads of its calling thread
/// (base/compute_threads.h).
class VectorIndex {
 public:
  virtual ~VectorIndex() = default;
  VectorIndex(const VectorIndex&) = delete;
  VectorIndex& operator=(const VectorIndex&) = delete;

  /// One of index_kinds().
  virtual std::string kind() const = 0;
  /// Columns of every vector.
  virtual std::size_t dimension() const = 0;
  /// Number of vectors, at least 1.
  virtual std::size_t size() const = 0;

  /// The min(k, size()) best hits of each query, or as many as there are allowed rows, padded to k
  /// with kNoRow.
  /// queries: [n, dimension()], finite, unit length within 1e-3; n may be 0. k: [1, kMaxK].
  /// Throws InvalidArgument, naming the offending query row, column count, k or option.
  SearchResult search(const MatrixView& queries, int k, const SearchOptions& options = {}) const {
    SearchResult result;
    search(queries, k, options, result);
    return result;
  }
  /// The same, in a result that need not be new: its memory is used again. What is in it when this
  /// throws means nothing.
  virtual void search(const MatrixView& queries, int k, const SearchOptions& options,
                      SearchResult& result) const = 0;

  /// The vector of a row, bit for bit as it was given. Throws InvalidArgument when row is not in
  /// [0, size()).
  virtual std::vector<float> vector(std::int64_t row) const = 0;

  const IndexMemory& memory() const { return memory_; }

  /// Where the index is searched: "cpu", or the name of the device that holds a copy and still
  /// serves. The CPU answers all the same what a device cannot: docs/gpu.md.
  virtual std::string device() const = 0;

  /// Writes one file that any FAISS opens with read_index, followed by a checksum that FAISS does
  /// not read. What is large is written from where it lies. Atomic and durable: after a crash path
  /// holds the old or the new file. Throws NotFound (no such folder), PermissionDenied,
  /// ResourceExhausted (disk full) or Unavailable.
  virtual void save(const std::filesystem::path& path) const = 0;

 protected:
  VectorIndex() = default;

 private:
  friend std::unique_ptr<VectorIndex> build_index(MatrixView vectors, const IndexSpec& spec,
                                                  const BuildProgress& progress);
  friend std::unique_ptr<VectorIndex> open_index(const std::filesystem::path& path,
                                                 const DeviceOptions& device);

  /// What is not in a file, in bytes, beside the float32 vectors.
  virtual std::size_t heap_bytes() const = 0;

  /// Once, before the first search. options: with a device. name: of the index, for messages.
  virtual void copy_to_device(const DeviceOptions& options, const std::string& name) = 0;

  IndexMemory memory_;  // constant after build_index() or open_index()
};

/// Builds an index that owns a copy of the vectors: [n, dimension], n at least 1, finite, unit
/// length within 1e-3. Uses the OpenMP threads of the calling thread. The same vectors give the
/// same flat, ivf and ivf_pq index; an hnsw graph depends on how its builder's threads took turns.
/// Throws InvalidArgument (naming the row or the field of spec) or ResourceExhausted (memory).
std::unique_ptr<VectorIndex> build_index(MatrixView vectors, const IndexSpec& spec,
                                         const BuildProgress& progress = {});

/// Opens what save() wrote; the kind is read from the file. The checksum of the whole file is
/// verified before anything in it is believed, on the OpenMP threads of the calling thread. The
/// codes and the vectors are then used where the file is mapped.
/// device: gets a copy of a flat or an ivf index, if it has room; answers are the same without.
/// Throws NotFound, Corruption when the file is truncated, altered, or not written by save(), or
/// ResourceExhausted (memory).
std::unique_ptr<VectorIndex> open_index(const std::filesystem::path& path,
                                        const DeviceOptions& device = {});

/// Names for IndexSpec::kind.
std::vector<std::string> index_kinds();

}  // namespace vitrine::index
