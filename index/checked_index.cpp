#include "index/checked_index.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "base/error.h"
#include "index/exact_search.h"
#include "index/faiss_file.h"
#include "index/kernels/inner_product.h"

namespace vitrine::index {
namespace {

/// float16 embeddings, widened, are of unit length within this.
constexpr double kLengthTolerance = 1e-3;

[[noreturn]] void throw_bad_row(std::span<const float> row, std::size_t number,
                                std::string_view what) {
  double squares = 0;
  for (std::size_t column = 0; column < row.size(); ++column) {
    if (!std::isfinite(row[column])) {
      throw invalid_argument(fmt::format("{} {} holds {} in column {}; every number must be finite",
                                         what, number, row[column], column));
    }
    squares += static_cast<double>(row[column]) * row[column];
  }
  throw invalid_argument(fmt::format("{} {} has length {}; it must be normalised to 1", what,
                                     number, std::sqrt(squares)));
}

}  // namespace

void check_unit_rows(const MatrixView& vectors, std::string_view what) {
  const InnerProductKernel& kernel = inner_product_kernel();
  for (std::size_t i = 0; i < vectors.rows; ++i) {
    const std::span<const float> row = vectors.row(i);
    // Infinite and NaN elements make the sum infinite or NaN, which no comparison accepts.
    const double squares = kernel.pair(row.data(), row.data(), row.size());
    if (!(std::abs(std::sqrt(squares) - 1.0) <= kLengthTolerance)) throw_bad_row(row, i, what);
  }
}

std::size_t CheckedIndex::dimension() const { return tables().vectors->dimension(); }

std::size_t CheckedIndex::size() const { return tables().vectors->size(); }

void CheckedIndex::search(const MatrixView& queries, int k, const SearchOptions& options,
                          SearchResult& result) const {
  if (k < 1 || k > kMaxK) {
    throw invalid_argument(fmt::format("k is {}; it must be in [1, {}]", k, kMaxK));
  }
  options.validate();
  const auto hits = static_cast<std::size_t>(k);
  if (queries.rows == 0) return reset(0, hits, result);
  if (queries.cols != dimension()) {
    throw invalid_argument(fmt::format("queries have {} columns; the index has vectors of {}",
                                       queries.cols, dimension()));
  }
  if (options.allowed != nullptr && options.allowed->size() != size()) {
    throw invalid_argument(fmt::format("the set of allowed rows is over {} rows; the index has {}",
                                       options.allowed->size(), size()));
  }
  check_unit_rows(queries, "query");
  try {
    reset(queries.rows, hits, result);
    if (options.allowed == nullptr) return answer(queries, options, size(), result);
    const std::size_t rows = options.allowed->count();
    if (rows == 0) return;
    if (rows < size()) return answer(queries, options, rows, result);
    SearchOptions unfiltered = options;
    unfiltered.allowed = nullptr;
    answer(queries, unfiltered, rows, result);
  } catch (const std::bad_alloc&) {
    throw resource_exhausted(
        fmt::format("out of memory for {} hits of each of {} queries; search "
                    "fewer at a time",
                    k, queries.rows));
  }
}

void CheckedIndex::answer(const MatrixView& queries, const SearchOptions& options, std::size_t rows,
                          SearchResult& result) const {
  options.exact ? search_exact(queries, options.allowed, result)
                : search_approximate(queries, options, rows, result);
}

std::vector<float> CheckedIndex::vector(std::int64_t row) const {
  if (row < 0 || static_cast<std::size_t>(row) >= size()) {
    throw invalid_argument(fmt::format("row is {}; the index has rows 0 to {}", row, size() - 1));
  }
  std::vector<float> vector(dimension());
  std::memcpy(vector.data(), tables().vectors->at(place_of(static_cast<std::size_t>(row))),
              vector.size() * sizeof(float));
  return vector;
}

void CheckedIndex::save(const std::filesystem::path& path) const {
  try {
    write_index_file([this](const WriteBytes& write) { write_faiss(write); },
                     [this](const WriteBytes& write) { write_codes(write); }, path);
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw resource_exhausted("out of memory for saving the index " + path.string());
  } catch (const std::exception& error) {
    throw internal_error(fmt::format("saving {} failed: {}", path.string(), error.what()));
  }
}

std::string CheckedIndex::device() const {
  return device_copy_ != nullptr && device_copy_->serves() ? device_copy_->device().name() : "cpu";
}

void CheckedIndex::copy_to_device(const DeviceOptions& options, const std::string& name) {
  std::string why;
  try {
    std::unique_ptr<DeviceVectors> vectors = copied_to(*options.device);
    if (vectors == nullptr) return;
    device_copy_ = std::make_unique<const DeviceCopy>(options, name, std::move(vectors));
    return;
  } catch (const std::bad_alloc&) {
    why = "there is no memory to copy it from";
  } catch (const std::exception& error) {
    why = error.what();
  }
  if (options.warn) options.warn(fmt::format("{} is searched on the CPU: {}", name, why));
}

}  // namespace vitrine::index
