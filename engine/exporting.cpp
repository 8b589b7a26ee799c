#include "engine/exporting.h"

#include <algorithm>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/matrix.h"
#include "base/npy.h"
#include "engine/catalog.h"
#include "storage/catalog_writer.h"
#include "storage/id_list.h"

namespace vitrine::engine {
namespace {

/// Rows and products that are written together.
constexpr std::size_t kBlock = 1024;

void make_empty_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const bool empty = !error && std::filesystem::is_empty(folder, error);
  if (error) {
    throw permission_denied("cannot write to the folder " + folder.string() + ": " +
                            error.message());
  }
  if (!empty) {
    throw already_exists("the folder " + folder.string() +
                         " is not empty; name one that is, or a new one");
  }
}

class Export {
 public:
  Export(const Catalog& catalog, const std::filesystem::path& folder,
         const ExportProgress& progress, const std::atomic<bool>* cancel)
      : catalog_(catalog),
        folder_(folder),
        progress_(progress),
        cancel_(cancel),
        rows_(catalog.live_rows()) {}

  ExportReport run(std::optional<Target> only) {
    total_ = rows_.size() * (only ? 2 : 3);
    if (only != Target::kCaption) write_vectors(Target::kImage, kExportedImagesFile);
    if (only != Target::kImage) write_vectors(Target::kCaption, kExportedCaptionsFile);
    write_products();
    return {rows_.size(), catalog_.dimension(), catalog_.generation(), catalog_.sequence()};
  }

 private:
  void write_vectors(Target target, const char* file) {
    NpyWriter writer(folder_ / file, rows_.size(), catalog_.dimension());
    for_each_block([&](std::span<const std::size_t> block) {
      Matrix vectors(block.size(), catalog_.dimension());
      for (std::size_t i = 0; i < block.size(); ++i) {
        std::ranges::copy(catalog_.vector(target, block[i]), vectors.row(i).begin());
      }
      writer.append(vectors);
    });
    writer.commit();
  }

  void write_products() {
    storage::CatalogWriter writer(folder_ / kExportedCatalogFile);
    std::vector<std::string> ids;
    ids.reserve(rows_.size());
    for_each_block([&](std::span<const std::size_t> block) {
      const std::vector<storage::Product> products = catalog_.products(block);
      writer.add(products);
      for (const storage::Product& product : products) ids.push_back(product.id);
    });
    storage::write_id_list(folder_ / kExportedIdsFile, ids);
    writer.commit();
  }

  template <typename Work>
  void for_each_block(const Work& work) {
    for (std::size_t begin = 0; begin < rows_.size(); begin += kBlock) {
      if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) {
        throw cancelled("exporting catalog " + catalog_.name() + " was cancelled");
      }
      const auto block = std::span(rows_).subspan(begin, std::min(kBlock, rows_.size() - begin));
      work(block);
      done_ += block.size();
      if (progress_) progress_(done_, total_);
    }
  }

  const Catalog& catalog_;
  const std::filesystem::path& folder_;
  const ExportProgress& progress_;
  const std::atomic<bool>* const cancel_;
  const std::vector<std::size_t> rows_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace

ExportReport export_snapshot(const Catalog& catalog, const ExportRequest& request,
                             const ExportProgress& progress, const std::atomic<bool>* cancel) {
  make_empty_folder(request.folder);
  return Export(catalog, request.folder, progress, cancel).run(request.target);
}

}  // namespace vitrine::engine
