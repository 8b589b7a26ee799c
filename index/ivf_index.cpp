// "ivf": the vectors in lists around k-means centroids; a search scans the lists whose centroids
// are nearest.

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/invlists/InvertedLists.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"
#include "index/cap_search.h"
#include "index/checked_index.h"
#include "index/exact_search.h"
#include "index/kernels/inner_product.h"
#include "index/kinds.h"
#include "index/nearest_lists.h"
#include "index/parallel.h"

namespace vitrine::index {
namespace {

/// More vectors a centroid than this slow training down without moving the centroids.
constexpr int kTrainingVectorsAList = 128;
/// Allowed rows compared under a filter for each row compared without one. Their lists are not
/// those made for them: the best allowed ones are spread over more.
constexpr std::size_t kFilteredEffort = 8;

/// Those that FAISS holds.
std::vector<InvertedList> lists_of(const faiss::IndexIVFFlat& ivf) {
  std::vector<InvertedList> lists;
  for (std::size_t list = 0; list < ivf.nlist; ++list) {
    lists.push_back({ivf.invlists->list_size(list),
                     reinterpret_cast<const float*>(ivf.invlists->get_codes(list)),
                     reinterpret_cast<const char*>(ivf.invlists->get_ids(list))});
  }
  return lists;
}

class IvfIndex : public CheckedIndex {
 public:
  /// lists: of ivf, or of the file they stay in. Throws Corruption when they do not hold each row
  /// once. Without a file the codes are made.
  IvfIndex(std::unique_ptr<faiss::IndexIVFFlat> ivf, const std::vector<InvertedList>& lists,
           const IndexFile* file)
      : ivf_(std::move(ivf)),
        centroids_(centroids_of(*ivf_)),
        centroid_codes_(centroids_),
        vectors_(static_cast<std::size_t>(ivf_->d)),
        places_(static_cast<std::size_t>(ivf_->ntotal), -1) {
    rows_.reserve(places_.size());
    for (const InvertedList& list : lists) {
      lists_.push_back({rows_.size(), list.count});
      vectors_.add_block(list.vectors, list.count);
      for (std::size_t i = 0; i < list.count; ++i) {
        std::int64_t row;
        std::memcpy(&row, list.rows + i * sizeof(row), sizeof(row));
        if (row < 0 || static_cast<std::size_t>(row) >= places_.size() ||
            places_[static_cast<std::size_t>(row)] >= 0) {
          throw corruption("its lists name a row twice or one that does not exist");
        }
        places_[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(rows_.size());
        rows_.push_back(static_cast<std::int32_t>(row));
      }
    }
    if (rows_.size() != places_.size()) throw corruption("its lists lack rows");
    if (file == nullptr) {
      codes_ = CodeTable(vectors_);
    } else {
      codes_ = file->code_table();
      file_ = file->file;
    }
  }

  std::string kind() const override { return std::string(kIvfKind.name); }

 protected:
  SearchTables tables() const override { return {&codes_, &vectors_, rows_.data()}; }
  std::size_t heap_bytes() const override {
    const std::size_t of_rows = (rows_.size() + places_.size()) * sizeof(std::int32_t);
    const std::size_t in_lists = file_ == nullptr ? size() * sizeof(std::int64_t) : 0;  // FAISS's
    return of_rows + in_lists + lists_.size() * (ivf_->code_size + sizeof(PlaceRange)) +
           centroid_codes_.heap_bytes() + codes_.heap_bytes();
  }
  void write_faiss(const WriteBytes& write) const override {
    write(faiss_bytes_before_lists(*ivf_with(nullptr)));
    const auto write_vectors = [&](const PlaceRange& list) {
      write({reinterpret_cast<const char*>(vectors_.at(list.first)), list.count * ivf_->code_size});
    };
    write_lists(lists_, rows_.data(), ivf_->code_size, write_vectors, write);
  }

  void search_exact(const MatrixView& queries, const RowSet* allowed,
                    SearchResult& result) const override {
    const PlaceRange all{0, size()};
    if (allowed == nullptr || caps_are_worth(codes_, {allowed}, result.k)) {
      return search_exactly(tables(), queries, {&all, 1}, {allowed}, result);
    }
    // In the order of places, so that few allowed rows cost no pass over all.
    RowSet places(size());
    allowed->for_each(
        0, size(), [&](std::size_t row) { places.insert(static_cast<std::size_t>(places_[row])); });
    search_exactly(tables(), queries, {&all, 1}, {&places, true}, result);
  }

  void search_approximate(const MatrixView& queries, const SearchOptions& options, std::size_t rows,
                          SearchResult& result) const override {
    const std::size_t k = result.k;
    const auto nprobe = static_cast<std::size_t>(options.nprobe);
    const RowSet* allowed = options.allowed;
    const std::size_t factor = allowed == nullptr ? 1 : kFilteredEffort;
    const std::size_t compared = size() / lists_.size() * nprobe * factor;
    // By caps, comparing all allowed rows takes less time than the lists that a filter makes of it.
    const bool all_take_longer =
        lists_.size() + 2 * compared < rows && !caps_are_worth(codes_, {allowed}, k);
    if (nprobe >= lists_.size() || (allowed != nullptr && !all_take_longer)) {
      return search_exact(queries, allowed, result);
    }
    const auto lists_for = [&](const float* query) {
      return allowed == nullptr
                 ? lists_near(query, nprobe, std::min(k, rows), nullptr, rows)
                 : lists_near(query, 1, std::min(rows, std::max(k, compared)), allowed, rows);
    };
    const auto ranges_for = [&](const float* query) { return places_of(lists_for(query)); };
    const auto on_cpu = [&](const MatrixView& some, SearchResult& of_some) {
      search_on_cpu(some, allowed, compared, ranges_for, of_some);
    };
    const DeviceCopy* copy = device_copy();
    if (copy != nullptr && copy->serves() && allowed == nullptr &&
        nprobe <= copy->device().most_lists()) {
      if (const auto lists = device_lists(queries, nprobe, lists_for)) {
        return copy->search(tables(), places_.data(), queries, nullptr, &*lists, on_cpu, result);
      }
    }
    on_cpu(queries, result);
  }

  std::unique_ptr<DeviceVectors> copied_to(SearchDevice& device) const override {
    return device.copy_ivf(*ivf_with_lists());
  }

  std::size_t place_of(std::size_t row) const override {
    return static_cast<std::size_t>(places_[row]);
  }

 private:
  /// A copy of ivf_ with other lists, or with none.
  std::shared_ptr<faiss::IndexIVFFlat> ivf_with(std::unique_ptr<faiss::InvertedLists> lists) const {
    auto copy = std::make_shared<faiss::IndexIVFFlat>(ivf_->quantizer, dimension(), ivf_->nlist,
                                                      faiss::METRIC_INNER_PRODUCT);
    copy->is_trained = true;
    copy->ntotal = ivf_->ntotal;
    copy->replace_invlists(lists.release(), true);
    return copy;
  }

  /// ivf_, or where its lists stay in a file a copy that has them.
  std::shared_ptr<const faiss::IndexIVFFlat> ivf_with_lists() const {
    if (file_ == nullptr) {
      return {std::shared_ptr<const void>(), ivf_.get()};
    }
    auto lists = std::make_unique<faiss::ArrayInvertedLists>(ivf_->nlist, ivf_->code_size);
    std::vector<std::int64_t> rows;
    std::vector<std::uint8_t> vectors;
    for (std::size_t list = 0; list < lists_.size(); ++list) {
      const PlaceRange& places = lists_[list];
      if (places.count == 0) continue;
      const auto first = rows_.begin() + static_cast<std::ptrdiff_t>(places.first);
      rows.assign(first, first + static_cast<std::ptrdiff_t>(places.count));
      vectors.resize(places.count * ivf_->code_size);
      std::memcpy(vectors.data(), vectors_.at(places.first), vectors.size());
      lists->add_entries(list, places.count, rows.data(), vectors.data());
    }
    return ivf_with(std::move(lists));
  }

  /// ranges_for(query): the places to search. compared: rows that these hold, about.
  template <class RangesFor>
  void search_on_cpu(const MatrixView& queries, const RowSet* allowed, std::size_t compared,
                     const RangesFor& ranges_for, SearchResult& result) const {
    if (queries.rows == 1) {
      return search_exactly(tables(), queries, ranges_for(queries.data), {allowed}, result);
    }
    parallel_for(queries.rows,
                 threads_for_codes(queries.rows * (lists_.size() + compared), dimension()),
                 [&](std::size_t query) {
                   const float* data = queries.row(query).data();
                   put_hits(search_exactly(tables(), data, ranges_for(data), {allowed}, result.k),
                            query, result);
                 });
  }

  /// The lists of each query; nothing where one needs more than nprobe of them to see k rows: the
  /// device searches equally many for all.
  template <class ListsFor>
  std::optional<DeviceLists> device_lists(MatrixView queries, std::size_t nprobe,
                                          const ListsFor& lists_for) const {
    std::vector<std::vector<std::size_t>> nearest(queries.rows);
    parallel_for(queries.rows, threads_for_codes(queries.rows * lists_.size(), dimension()),
                 [&](std::size_t query) { nearest[query] = lists_for(queries.row(query).data()); });
    DeviceLists searched;
    for (const std::vector<std::size_t>& lists : nearest) {
      if (lists.size() != nprobe) return std::nullopt;
      std::size_t rows = 0;
      for (const std::size_t list : lists) {
        searched.lists.push_back(static_cast<std::int64_t>(list));
        rows += lists_[list].count;
      }
      searched.rows.push_back(rows);
    }
    return searched;
  }

  /// The nprobe lists nearest to the query, and as many more as it takes to see so many wanted
  /// rows of those that may be hits.
  std::vector<std::size_t> lists_near(const float* query, std::size_t nprobe, std::size_t wanted,
                                      const RowSet* allowed, std::size_t rows) const {
    const SearchTables tables{&centroid_codes_, &centroids_};
    const PlaceRange all{0, lists_.size()};
    std::vector<std::size_t> nearest;
    std::size_t seen = 0;
    // As many as hold the wanted rows if those lie anywhere; more are sought where they do not.
    std::size_t most = std::max(nprobe, wanted * lists_.size() / rows + 1);
    for (;; most *= 2) {
      most = std::min(most, lists_.size());
      const std::vector<Hit> order = search_exactly(tables, query, {&all, 1}, {}, most);
      for (std::size_t i = nearest.size(); i < most && (i < nprobe || seen < wanted); ++i) {
        nearest.push_back(static_cast<std::size_t>(order[i].row));
        if (seen < wanted) seen += allowed_in(lists_[nearest.back()], allowed);
      }
      if (seen >= wanted || most == lists_.size()) return nearest;
    }
  }

  std::vector<PlaceRange> places_of(const std::vector<std::size_t>& lists) const {
    std::vector<PlaceRange> places;
    places.reserve(lists.size());
    for (const std::size_t list : lists) places.push_back(lists_[list]);
    return places;
  }

  std::size_t allowed_in(const PlaceRange& list, const RowSet* allowed) const {
    if (allowed == nullptr) return list.count;
    const auto first = rows_.begin() + static_cast<std::ptrdiff_t>(list.first);
    return static_cast<std::size_t>(std::count_if(
        first, first + static_cast<std::ptrdiff_t>(list.count),
        [&](std::int32_t row) { return allowed->contains(static_cast<std::size_t>(row)); }));
  }

  static VectorTable centroids_of(const faiss::IndexIVFFlat& ivf) {
    const auto& centroids = dynamic_cast<const faiss::IndexFlat&>(*ivf.quantizer);
    return one_block(centroids.get_xb(), ivf.nlist, static_cast<std::size_t>(ivf.d));
  }

  std::unique_ptr<faiss::IndexIVFFlat> ivf_;  // its lists may be empty: see ivf_with_lists()
  std::shared_ptr<const MappedFile> file_;    // of vectors_, where they are in one
  VectorTable centroids_;                     // of ivf_, by list
  CodeTable centroid_codes_;                  // shorter than unit vectors, which codes take as well
  VectorTable vectors_;                       // of ivf_
  std::vector<PlaceRange> lists_;             // the places of each list
  std::vector<std::int32_t> rows_;            // [size()], place -> row
  std::vector<std::int32_t> places_;          // [size()], row -> place
  CodeTable codes_;
};

std::unique_ptr<VectorIndex> build(MatrixView vectors, const IndexSpec& spec,
                                   const BuildProgress& progress) {
  const std::size_t lists = number_of_lists(vectors.rows, spec.nlist);
  auto quantizer = std::make_unique<faiss::IndexFlatIP>(static_cast<std::int64_t>(vectors.cols));
  auto ivf = std::make_unique<faiss::IndexIVFFlat>(quantizer.get(), vectors.cols, lists,
                                                   faiss::METRIC_INNER_PRODUCT);
  ivf->own_fields = true;
  static_cast<void>(quantizer.release());
  // The seed of the training sample and of the first centroids is fixed by FAISS.
  ivf->cp.max_points_per_centroid = kTrainingVectorsAList;
  ivf->cp.min_points_per_centroid = 1;  // few vectors are no reason to warn on standard error
  const auto rows = static_cast<std::int64_t>(vectors.rows);
  if (progress) progress(0, vectors.rows);
  ivf->train(rows, vectors.data);
  constexpr std::int64_t kRowsATime = 100'000;
  for (std::int64_t done = 0; done < rows;) {
    if (progress) progress(static_cast<std::size_t>(done), vectors.rows);
    const std::int64_t some = std::min(kRowsATime, rows - done);
    ivf->add(some, vectors.row(static_cast<std::size_t>(done)).data());
    done += some;
  }
  if (progress) progress(vectors.rows, vectors.rows);
  const std::vector<InvertedList> lists_of_ivf = lists_of(*ivf);
  return std::make_unique<IvfIndex>(std::move(ivf), lists_of_ivf, nullptr);
}

std::unique_ptr<VectorIndex> adopt(IndexFile& file) {
  auto* ivf = dynamic_cast<faiss::IndexIVFFlat*>(file.index.get());
  if (ivf == nullptr) return nullptr;
  const auto* quantizer = dynamic_cast<const faiss::IndexFlat*>(ivf->quantizer);
  const std::size_t code_size = static_cast<std::size_t>(ivf->d) * sizeof(float);
  if (quantizer == nullptr || quantizer->d != ivf->d || ivf->nlist < 1 ||
      static_cast<std::size_t>(quantizer->ntotal) != ivf->nlist ||
      quantizer->codes.size() != ivf->nlist * code_size) {
    throw corruption("its centroids do not fit its lists");
  }
  for (std::size_t list = 0; list < ivf->nlist; ++list) {
    const auto columns = static_cast<std::size_t>(ivf->d);
    const float* centroid = quantizer->get_xb() + list * columns;
    // Means of unit vectors; NaN is not below anything.
    if (!(inner_product_kernel().pair(centroid, centroid, columns) < 1.003F)) {
      throw corruption("its centroids are not means of unit vectors");
    }
  }
  if (dynamic_cast<const faiss::ArrayInvertedLists*>(ivf->invlists) == nullptr ||
      ivf->invlists->nlist != ivf->nlist || file.lists.size() != ivf->nlist ||
      ivf->invlists->code_size != code_size || ivf->code_size != code_size) {
    throw corruption("its lists do not fit its vectors");
  }
  static_cast<void>(file.index.release());  // owned through the narrower pointer from here
  return std::make_unique<IvfIndex>(std::unique_ptr<faiss::IndexIVFFlat>(ivf), file.lists, &file);
}

}  // namespace

constexpr IndexKind kIvfKind = {"ivf", build, adopt};

}  // namespace vitrine::index
