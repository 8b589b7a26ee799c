// "flat": the vectors, one after another.

#include <faiss/IndexFlat.h>

#include <algorithm>

#include "base/error.h"
#include "index/checked_index.h"
#include "index/kinds.h"
#include "index/large_array.h"

namespace vitrine::index {
namespace {

class FlatIndex : public CheckedIndex {
 public:
  /// owner: keeps the vectors and the codes where they are.
  FlatIndex(VectorTable vectors, CodeTable codes, std::shared_ptr<const void> owner)
      : vectors_(std::move(vectors)), codes_(std::move(codes)), owner_(std::move(owner)) {}

  std::string kind() const override { return std::string(kFlatKind.name); }

 protected:
  SearchTables tables() const override { return {&codes_, &vectors_}; }
  std::size_t heap_bytes() const override { return codes_.heap_bytes(); }
  void write_faiss(const WriteBytes& write) const override { write_flat(vectors_, write); }

  void search_exact(const MatrixView& queries, const RowSet* allowed,
                    SearchResult& result) const override {
    const auto on_cpu = [&](const MatrixView& some, SearchResult& of_some) {
      const PlaceRange all{0, size()};
      search_exactly(tables(), some, {&all, 1}, {allowed}, of_some);
    };
    if (device_copy() == nullptr) return on_cpu(queries, result);
    device_copy()->search(tables(), nullptr, queries, allowed, nullptr, on_cpu, result);
  }

  void search_approximate(const MatrixView& queries, const SearchOptions& options,
                          std::size_t /*rows*/, SearchResult& result) const override {
    search_exact(queries, options.allowed, result);
  }

  std::unique_ptr<DeviceVectors> copied_to(SearchDevice& device) const override {
    return device.copy_flat(vectors_.at(0), vectors_.size(), vectors_.dimension());
  }

 private:
  VectorTable vectors_;
  CodeTable codes_;
  std::shared_ptr<const void> owner_;
};

std::unique_ptr<VectorIndex> build(MatrixView vectors, const IndexSpec& /*spec*/,
                                   const BuildProgress& progress) {
  auto copy = std::make_shared<LargeArray<float>>(copy_of(vectors));
  VectorTable table = one_block(copy->data(), vectors.rows, vectors.cols);
  CodeTable codes(table);
  if (progress) progress(vectors.rows, vectors.rows);
  return std::make_unique<FlatIndex>(std::move(table), std::move(codes), std::move(copy));
}

std::unique_ptr<VectorIndex> adopt(IndexFile& file) {
  const auto* flat = dynamic_cast<const faiss::IndexFlat*>(file.index.get());
  if (flat == nullptr || file.vectors == nullptr) return nullptr;
  return std::make_unique<FlatIndex>(one_block(file.vectors, file.rows, file.dimension),
                                     file.code_table(), file.file);
}

}  // namespace

constexpr IndexKind kFlatKind = {"flat", build, adopt};

}  // namespace vitrine::index
