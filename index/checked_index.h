#pragma once

#include <memory>
#include <string_view>

#include "index/exact_search.h"
#include "index/faiss_file.h"
#include "index/gpu/device_copy.h"
#include "index/vector_index.h"

namespace vitrine::index {

/// Throws InvalidArgument naming the first row that is not finite or not of unit length.
/// what: such as "query" or "vector".
void check_unit_rows(const MatrixView& vectors, std::string_view what);

/// What every kind shares: each promise of VectorIndex about arguments is kept here, so that a kind
/// sees only valid ones. FAISS trains, builds and reads and writes files; searching is ours: FAISS
/// as packaged runs on SSE2, adds to global counters from every thread and leaves ties open.
class CheckedIndex : public VectorIndex {
 public:
  std::size_t dimension() const final;
  std::size_t size() const final;
  void search(const MatrixView& queries, int k, const SearchOptions& options,
              SearchResult& result) const final;
  std::vector<float> vector(std::int64_t row) const final;
  void save(const std::filesystem::path& path) const final;
  std::string device() const final;

 protected:
  /// codes may be null, where write_codes() and search_exact() do without.
  virtual SearchTables tables() const = 0;
  /// Hands over what FAISS writes of this index.
  virtual void write_faiss(const WriteBytes& write) const = 0;
  virtual void write_codes(const WriteBytes& write) const { tables().codes->write_to(write); }
  /// The result.k best of every vector compared, or of every allowed one. allowed: null, or of
  /// size(). result: of all misses, as in search_approximate().
  virtual void search_exact(const MatrixView& queries, const RowSet* allowed,
                            SearchResult& result) const = 0;
  /// Must find min(result.k, size()) hits for each query, or as many as there are allowed rows.
  /// options.allowed: null, or of size(), with some rows but not all.
  /// rows: those that may be hits, of options.allowed or all; at least 1.
  virtual void search_approximate(const MatrixView& queries, const SearchOptions& options,
                                  std::size_t rows, SearchResult& result) const = 0;
  virtual std::size_t place_of(std::size_t row) const { return row; }
  /// Null: this kind is searched on the CPU alone. Throws as SearchDevice.
  virtual std::unique_ptr<DeviceVectors> copied_to(SearchDevice& /*device*/) const {
    return nullptr;
  }
  /// Null without one.
  const DeviceCopy* device_copy() const { return device_copy_.get(); }

 private:
  /// As search_approximate(), or exactly.
  void answer(const MatrixView& queries, const SearchOptions& options, std::size_t rows,
              SearchResult& result) const;
  void copy_to_device(const DeviceOptions& options, const std::string& name) final;

  std::unique_ptr<const DeviceCopy> device_copy_;  // constant after copy_to_device()
};

}  // namespace vitrine::index
