// "ivf_pq": codes of some 4 bits for every few elements in lists around k-means centroids; a search
// scans the nearest lists by codes and compares the best in float32. Of the vectors, which stay in
// the file, it reads only those.

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/VectorTransform.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "index/checked_index.h"
#include "index/float_scan.h"
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

/// What FAISS needs to look for the nearest lists, and to compare vectors by the same codes: an
/// index that has no lists.
std::unique_ptr<faiss::Index> without_lists(const PqLists& lists) {
  const PqModel& model = lists.model();
  const ProductQuantizer& quantizer = model.quantizer;
  const std::vector<std::int32_t>& order = quantizer.order();
  const std::size_t dimension = model.dimension();
  const std::size_t leading = model.centroids.cols();
  const std::size_t tables = quantizer.tables();
  const auto width = static_cast<int>(order.size());

  // FAISS wants the dimensions of a sub-quantiser side by side.
  auto axes = std::make_unique<faiss::LinearTransform>(static_cast<int>(dimension), width, false);
  axes->A.assign(order.size() * dimension, 0.0F);
  std::vector<float> centroids(lists.lists().size() * order.size(), 0.0F);
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order[i] < 0) continue;
    const auto from = static_cast<std::size_t>(order[i]);
    std::ranges::copy(model.axes.row(from),
                      axes->A.begin() + static_cast<std::ptrdiff_t>(i * dimension));
    for (std::size_t list = 0; list < lists.lists().size(); ++list) {
      centroids[list * order.size() + i] =
          model.mean[from] + (from < leading ? model.centroids.row(list)[from] : 0.0F);
    }
  }
  axes->is_trained = true;
  axes->is_orthonormal = true;

  auto nearest = std::make_unique<faiss::IndexFlatL2>(width);
  nearest->add(static_cast<std::int64_t>(lists.lists().size()), centroids.data());
  auto codes = std::make_unique<faiss::IndexIVFPQ>(
      nearest.get(), order.size(), lists.lists().size(), tables, 4, faiss::METRIC_INNER_PRODUCT);
  codes->own_fields = true;
  static_cast<void>(nearest.release());
  codes->replace_invlists(nullptr, false);
  codes->is_trained = true;
  codes->ntotal = static_cast<std::int64_t>(lists.size());
  for (std::size_t table = 0; table < tables; ++table) {
    for (std::size_t entry = 0; entry < kTableEntries; ++entry) {
      float* centroid = codes->pq.get_centroids(table, entry);
      for (std::size_t i = 0; i < quantizer.width(); ++i) {
        centroid[i] =
            quantizer.centroids()[(table * quantizer.width() + i) * kTableEntries + entry];
      }
    }
  }
  auto turning = std::make_unique<faiss::IndexPreTransform>(axes.get(), codes.get());
  turning->ntotal = codes->ntotal;
  turning->own_fields = true;
  static_cast<void>(axes.release());
  static_cast<void>(codes.release());
  return turning;
}

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
    // An index that refines what another one finds: that one, the vectors, and a factor.
    faiss::IndexFlatIP any(static_cast<std::int64_t>(dimension()));
    faiss::IndexRefineFlat refining(&any);
    refining.ntotal = static_cast<std::int64_t>(size());
    write(faiss_header(refining));
    write(faiss_bytes_before_lists(*without_lists(lists_)));
    write_lists(
        lists_.lists(), lists_.rows(), lists_.model().quantizer.tables() / 2,
        [&](const PlaceRange& list) { write(packed_codes(list)); }, write);
    write_flat(vectors_, write);
    const auto factor = static_cast<float>(SearchOptions{}.rescore);
    write({reinterpret_cast<const char*>(&factor), sizeof(factor)});
  }
  void write_codes(const WriteBytes& write) const override { lists_.write_to(write); }

  SearchResult search_exact(MatrixView queries, std::size_t k,
                            const RowSet* allowed) const override {
    return scan_floats(queries, {vectors_.at(0), size(), dimension()}, allowed, k);
  }

  SearchResult search_approximate(MatrixView queries, std::size_t k, const SearchOptions& options,
                                  std::size_t rows) const override {
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
    if (nprobe >= all_lists || compared >= rows) return search_exact(queries, k, allowed);

    SearchResult result = make_result(queries.rows, k);
    // The query is turned at the price of as many vectors as it has elements.
    parallel_for(queries.rows, threads_for(queries.rows * (compared + dimension()) * dimension()),
                 [&](std::size_t query) {
                   const float* data = queries.row(query).data();
                   put_hits(rescore(data, lists_.candidates(data, rescored, effort), k), query,
                            result);
                 });
    return result;
  }

 private:
  /// Of a list's vectors, the codes as FAISS has them: of two sub-quantisers in a byte.
  std::string packed_codes(const PlaceRange& list) const {
    const std::size_t tables = lists_.model().quantizer.tables();
    std::vector<std::uint8_t> own(tables);
    std::string packed;
    packed.reserve(list.count * tables / 2);
    for (std::size_t place = list.first; place < list.first + list.count; ++place) {
      lists_.codes_at(place, own.data());
      for (std::size_t i = 0; i < tables; i += 2) {
        packed.push_back(static_cast<char>(own[i] | own[i + 1] << 4));
      }
    }
    return packed;
  }

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
