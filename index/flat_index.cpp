// "flat": the vectors, one after another.

#include <faiss/IndexFlat.h>

#include "base/error.h"
#include "index/checked_index.h"
#include "index/exact_search.h"
#include "index/kinds.h"

namespace vitrine::index {
namespace {

class FlatIndex : public CheckedIndex {
 public:
  explicit FlatIndex(std::unique_ptr<faiss::IndexFlat> flat)
      : flat_(std::move(flat)),
        vectors_(one_block(flat_->get_xb(), size(), dimension())),
        codes_(vectors_) {}

  std::string kind() const override { return std::string(kFlatKind.name); }

 protected:
  const faiss::Index& faiss_index() const override { return *flat_; }

  SearchResult search_exact(MatrixView queries, std::size_t k,
                            const RowSet* allowed) const override {
    const PlaceRange all{0, size()};
    return search_exactly({&codes_, &vectors_}, queries, {&all, 1}, {allowed}, k);
  }

  SearchResult search_approximate(MatrixView queries, std::size_t k,
                                  const SearchOptions& options) const override {
    return search_exact(queries, k, options.allowed);
  }

  const float* row_data(std::size_t row) const override { return vectors_.at(row); }

 private:
  std::unique_ptr<faiss::IndexFlat> flat_;
  VectorTable vectors_;  // of flat_
  CodeTable codes_;
};

std::unique_ptr<VectorIndex> build(MatrixView vectors, const IndexSpec& /*spec*/) {
  auto flat = std::make_unique<faiss::IndexFlatIP>(static_cast<std::int64_t>(vectors.cols));
  flat->add(static_cast<std::int64_t>(vectors.rows), vectors.data);
  return std::make_unique<FlatIndex>(std::move(flat));
}

std::unique_ptr<VectorIndex> adopt(std::unique_ptr<faiss::Index>& index) {
  auto* flat = dynamic_cast<faiss::IndexFlat*>(index.get());
  if (flat == nullptr) return nullptr;
  const auto numbers = static_cast<std::size_t>(flat->ntotal) * static_cast<std::size_t>(flat->d);
  if (flat->codes.size() != numbers * sizeof(float)) {
    throw corruption("the size of its vectors does not fit their number");
  }
  static_cast<void>(index.release());  // owned through the narrower pointer from here
  return std::make_unique<FlatIndex>(std::unique_ptr<faiss::IndexFlat>(flat));
}

}  // namespace

constexpr IndexKind kFlatKind = {"flat", build, adopt};

}  // namespace vitrine::index
