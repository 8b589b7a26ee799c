// "ivf_pq": codes of some 4 bits for every few elements in lists around k-means centroids; a search
// scans the nearest lists by codes and compares the best in float32. Of the vectors, which stay in
// the file, it reads only those.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "index/checked_index.h"
#include "index/float_scan.h"
#include "index/ivf_pq_for_faiss.h"
#include "index/kernels/inner_product.h"
#include "index/kinds.h"
#include "index/large_array.h"
#include "index/nearest_lists.h"
#include "index/parallel.h"
#include "index/pq_lists.h"
#include "index/principal_axes.h"

namespace vitrine::index {
namespace {

/// Fewer hits than this are not worth a smaller number of comparisons.
constexpr std::size_t kRescoredAtLeast = 64;
/// Codes that are looked up in the time that one vector takes to be compared in float32, roughly.
constexpr std::size_t kCodesAVector = 16;

class IvfPqIndex : public CheckedIndex {
 public:
  /// owner: keeps the vectors where they are.
  IvfPqIndex(PqLists lists, VectorTable vectors, std::shared_ptr<const void> owner)
      : lists_(std::move(lists)), vectors_(std::move(vectors)), owner_(std::move(owner)) {}

  std::string kind() const override { return std::string(kIvfPqKind.name); }

 protected:
  SearchTables tables() const override { return {nullptr, &vectors_}; }
  std::size_t heap_bytes() const override { return lists_.heap_bytes(); }
  void write_faiss(const WriteBytes& write) const override {
    write_ivf_pq(lists_, vectors_, write);
  }
  void write_codes(const WriteBytes& write) const override { lists_.write_to(write); }

  void search_exact(const MatrixView& queries, const RowSet* allowed,
                    SearchResult& result) const override {
    scan_floats(queries, {vectors_.at(0), size(), dimension()}, allowed, result);
  }

  void search_approximate(const MatrixView& queries, const SearchOptions& options, std::size_t rows,
                          SearchResult& result) const override {
    const std::size_t k = result.k;
    const std::size_t all_lists = lists_.lists().size();
    const auto nprobe = static_cast<std::size_t>(options.nprobe);
    const RowSet* allowed = options.allowed;
    const std::size_t rescored =
        std::max(k * static_cast<std::size_t>(options.rescore), kRescoredAtLeast);
    // The rows to compare with are as many as without a filter, from as many lists as hold them.
    PqLists::Effort effort;
    effort.lists = std::min(all_lists, nprobe * size() / rows);
    effort.wanted = std::min(k, rows);
    effort.allowed = allowed;
    const std::size_t scanned = all_lists + size() / all_lists * effort.lists;
    const std::size_t compared = rescored + scanned / kCodesAVector;
    if (nprobe >= all_lists || compared >= rows) return search_exact(queries, allowed, result);

    // The query is turned at the price of as many vectors as it has elements.
    parallel_for(queries.rows, threads_for(queries.rows * (compared + dimension()) * dimension()),
                 [&](std::size_t query) {
                   const float* data = queries.row(query).data();
                   put_hits(rescore(data, lists_.candidates(data, rescored, effort), k), query,
                            result);
                 });
  }

 private:
  std::vector<Hit> rescore(const float* query, const std::vector<Hit>& hits, std::size_t k) const {
    const InnerProductKernel& kernel = inner_product_kernel();
    for (const Hit& hit : hits) __builtin_prefetch(vectors_.at(static_cast<std::size_t>(hit.row)));
    TopK best(k);
    for (const Hit& hit : hits) {
      best.offer({kernel.pair(query, vectors_.at(static_cast<std::size_t>(hit.row)), dimension()),
                  hit.row});
    }
    return best.take();
  }

  PqLists lists_;
  VectorTable vectors_;  // by row
  std::shared_ptr<const void> owner_;
};

std::unique_ptr<VectorIndex> build(MatrixView vectors, const IndexSpec& spec,
                                   const BuildProgress& progress) {
  if (vectors.cols > kMaxAxes) {
    throw invalid_argument(fmt::format("vectors have {} columns; an ivf_pq index takes at most {}",
                                       vectors.cols, kMaxAxes));
  }
  const auto report = [&](std::size_t done) {
    if (progress) progress(done, vectors.rows);
  };
  PqModel model = learn_pq_model(vectors, number_of_lists(vectors.rows, spec.nlist),
                                 static_cast<std::size_t>(spec.pq_bytes), [&] { report(0); });
  PqLists lists(std::move(model), vectors, report);
  auto copy = std::make_shared<LargeArray<float>>(copy_of(vectors));
  VectorTable table = one_block(copy->data(), vectors.rows, vectors.cols);
  return std::make_unique<IvfPqIndex>(std::move(lists), std::move(table), std::move(copy));
}

std::unique_ptr<VectorIndex> adopt(IndexFile& file) {
  if (file.index != nullptr || file.vectors == nullptr || !file.graph.empty()) return nullptr;
  PqLists lists(file.codes, file.rows, file.dimension, file.file);
  // Vectors are read for candidates, and FAISS's part not at all.
  const std::string_view bytes = file.file->bytes();
  file.file->expect_few_reads(
      bytes.substr(0, static_cast<std::size_t>(file.codes.data() - bytes.data())));
  return std::make_unique<IvfPqIndex>(
      std::move(lists), one_block(file.vectors, file.rows, file.dimension), file.file);
}

}  // namespace

constexpr IndexKind kIvfPqKind = {"ivf_pq", build, adopt};

}  // namespace vitrine::index
