#include "index/ivf_pq_for_faiss.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/VectorTransform.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "index/vector_index.h"

namespace vitrine::index {
namespace {

/// The axes in the order of the sub-quantisers' dimensions, which FAISS wants side by side.
std::unique_ptr<faiss::LinearTransform> axes_in_order(const PqModel& model) {
  const std::vector<std::int32_t>& order = model.quantizer.order();
  const std::size_t dimension = model.dimension();
  auto axes = std::make_unique<faiss::LinearTransform>(static_cast<int>(dimension),
                                                       static_cast<int>(order.size()), false);
  axes->A.assign(order.size() * dimension, 0.0F);
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order[i] < 0) continue;
    std::ranges::copy(model.axes.row(static_cast<std::size_t>(order[i])),
                      axes->A.begin() + static_cast<std::ptrdiff_t>(i * dimension));
  }
  axes->is_trained = true;
  axes->is_orthonormal = true;
  return axes;
}

/// The lists' centroids along those axes, not centred: FAISS takes no mean off.
Matrix centroids_in_order(const PqModel& model) {
  const std::vector<std::int32_t>& order = model.quantizer.order();
  const std::size_t leading = model.centroids.cols();
  Matrix centroids(model.centroids.rows(), order.size());
  for (std::size_t list = 0; list < centroids.rows(); ++list) {
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (order[i] < 0) continue;
      const auto from = static_cast<std::size_t>(order[i]);
      centroids.row(list)[i] =
          model.mean[from] + (from < leading ? model.centroids.row(list)[from] : 0.0F);
    }
  }
  return centroids;
}

void copy_entries(const ProductQuantizer& from, faiss::ProductQuantizer& to) {
  const std::size_t width = from.width();
  for (std::size_t table = 0; table < from.tables(); ++table) {
    for (std::size_t entry = 0; entry < kTableEntries; ++entry) {
      float* centroid = to.get_centroids(table, entry);
      for (std::size_t i = 0; i < width; ++i) {
        centroid[i] = from.centroids()[(table * width + i) * kTableEntries + entry];
      }
    }
  }
}

/// What finds the lists and knows what their codes mean, without the lists.
std::unique_ptr<faiss::Index> without_lists(const PqLists& lists) {
  const PqModel& model = lists.model();
  const Matrix centroids = centroids_in_order(model);
  const std::size_t width = centroids.cols();
  auto nearest = std::make_unique<faiss::IndexFlatL2>(static_cast<std::int64_t>(width));
  nearest->add(static_cast<std::int64_t>(centroids.rows()), centroids.data());
  auto codes =
      std::make_unique<faiss::IndexIVFPQ>(nearest.get(), width, centroids.rows(),
                                          model.quantizer.tables(), 4, faiss::METRIC_INNER_PRODUCT);
  codes->own_fields = true;
  static_cast<void>(nearest.release());
  codes->replace_invlists(nullptr, false);
  codes->is_trained = true;
  codes->ntotal = static_cast<std::int64_t>(lists.size());
  copy_entries(model.quantizer, codes->pq);

  auto axes = axes_in_order(model);
  auto turning = std::make_unique<faiss::IndexPreTransform>(axes.get(), codes.get());
  turning->own_fields = true;
  static_cast<void>(axes.release());
  static_cast<void>(codes.release());
  turning->ntotal = static_cast<std::int64_t>(lists.size());
  return turning;
}

/// The codes of a list's vectors: FAISS has those of two sub-quantisers in a byte.
std::string packed_codes(const PqLists& lists, const PlaceRange& list) {
  std::vector<std::uint8_t> codes(lists.model().quantizer.tables());
  std::string packed;
  packed.reserve(list.count * codes.size() / 2);
  for (std::size_t place = list.first; place < list.first + list.count; ++place) {
    lists.codes_at(place, codes.data());
    for (std::size_t i = 0; i < codes.size(); i += 2) {
      packed.push_back(static_cast<char>(codes[i] | codes[i + 1] << 4));
    }
  }
  return packed;
}

}  // namespace

void write_ivf_pq(const PqLists& lists, const VectorTable& vectors, const WriteBytes& write) {
  // An index that refines what another one finds: its header, the other one, the vectors as a flat
  // one, and how many times the wanted hits it compares.
  faiss::IndexFlatIP any(static_cast<std::int64_t>(vectors.dimension()));
  faiss::IndexRefineFlat refining(&any);
  refining.ntotal = static_cast<std::int64_t>(vectors.size());
  write(faiss_header(refining));
  write(faiss_bytes_before_lists(*without_lists(lists)));
  write_lists(
      lists.lists(), lists.rows(), lists.model().quantizer.tables() / 2,
      [&](const PlaceRange& list) { write(packed_codes(lists, list)); }, write);
  write_flat(vectors, write);
  const auto factor = static_cast<float>(SearchOptions{}.rescore);
  write({reinterpret_cast<const char*>(&factor), sizeof(factor)});
}

}  // namespace vitrine::index
