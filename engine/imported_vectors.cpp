#include "engine/imported_vectors.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/vectors.h"
#include "storage/id_list.h"

namespace vitrine::engine {
namespace {

void check_width(const NpyReader& matrix, const std::string& file, std::size_t dimension) {
  if (matrix.cols() == dimension) return;
  throw invalid_argument(fmt::format(
      "{} has vectors of {} values; the encoder's embeddings have {}: use the checkpoint that made "
      "the vectors",
      file, matrix.cols(), dimension));
}

}  // namespace

ImportedVectors::ImportedVectors(const storage::VectorFiles& files, std::size_t dimension)
    : files_(files), images_(files.images) {
  check_width(images_, files_.images, dimension);
  if (!files_.captions.empty()) {
    captions_.emplace(files_.captions);
    check_width(*captions_, files_.captions, dimension);
    if (captions_->rows() != images_.rows()) {
      throw invalid_argument(fmt::format("{} has {} rows and {} has {}; each needs one a product",
                                         files_.images, images_.rows(), files_.captions,
                                         captions_->rows()));
    }
  }
  if (files_.ids.empty()) return;
  ids_ = storage::read_id_list(files_.ids, images_.rows());
  rows_.reserve(ids_.size());
  for (std::size_t row = 0; row < ids_.size(); ++row) {
    const auto [first, is_new] = rows_.emplace(ids_[row], row);
    if (is_new) continue;
    throw invalid_argument(fmt::format("{} has the id \"{}\" in line {} and again in line {}",
                                       files_.ids, printable(ids_[row]), first->second + 1,
                                       row + 1));
  }
}

void ImportedVectors::check_records(std::uint64_t records, const std::string& catalog_file) const {
  if (!files_.ids.empty() || images_.rows() == records) return;
  throw invalid_argument(fmt::format(
      "{} has {} rows and {} has {} records; give one row a record, in their order, or a list of "
      "the ids whose the rows are",
      files_.images, images_.rows(), catalog_file, records));
}

std::optional<std::size_t> ImportedVectors::row_of(std::uint64_t record,
                                                   std::string_view id) const {
  if (files_.ids.empty()) return record - 1;
  const auto found = rows_.find(id);
  if (found == rows_.end()) return std::nullopt;
  return found->second;
}

std::string ImportedVectors::read(Target target, std::size_t row, std::span<float> vector) const {
  const bool of_image = target == Target::kImage;
  (of_image ? images_ : *captions_).read_row(row, vector);
  const std::string fault = make_unit(vector);
  if (fault.empty()) return fault;
  return fmt::format("its {} vector, row {} (counted from 0) of {}, has no direction: {}",
                     of_image ? "image" : "caption", row,
                     of_image ? files_.images : files_.captions, fault);
}

}  // namespace vitrine::engine
