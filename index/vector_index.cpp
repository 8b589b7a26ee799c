#include "index/vector_index.h"

#include <faiss/Index.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>
#include <new>

#include "base/error.h"
#include "base/text.h"
#include "index/checked_index.h"
#include "index/faiss_file.h"
#include "index/kinds.h"

namespace vitrine::index {
namespace {

/// Vectors wider than this are a caller's mistake; FAISS counts columns in an int.
constexpr std::size_t kMaxDimension = 65536;
/// Graphs number their nodes with 32 bits; one limit for every kind.
constexpr std::size_t kMaxVectors = 2'000'000'000;

void check_range(std::string_view name, int value, int least, int most) {
  if (value < least || value > most) {
    throw invalid_argument(
        fmt::format("{} is {}; it must be in [{}, {}]", name, value, least, most));
  }
}

const IndexKind* find_kind(std::string_view name) {
  const auto all = kinds();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const IndexKind* kind) { return kind->name == name; });
  return found == all.end() ? nullptr : *found;
}

/// What holds for a sound index of any kind.
void check_header(const IndexFile& file) {
  if (file.dimension < 1 || file.dimension > kMaxDimension) {
    throw corruption(fmt::format("its dimension is {}", file.dimension));
  }
  if (file.rows < 1 || file.rows > kMaxVectors) {
    throw corruption(fmt::format("it has {} vectors", file.rows));
  }
}

std::unique_ptr<VectorIndex> adopt(IndexFile file) {
  check_header(file);
  for (const IndexKind* kind : kinds()) {
    if (std::unique_ptr<VectorIndex> adopted = kind->adopt(file)) return adopted;
  }
  throw corruption("it is of no known kind");
}

}  // namespace

void IndexSpec::validate() const {
  if (find_kind(kind) == nullptr) {
    throw invalid_argument(fmt::format("index kind is \"{}\"; it must be one of {}",
                                       printable(kind), fmt::join(index_kinds(), ", ")));
  }
  check_range("nlist", nlist, 0, 1'000'000);
  check_range("hnsw_m", hnsw_m, 2, 256);
  check_range("ef_construction", ef_construction, 1, 4096);
  check_range("pq_bytes", pq_bytes, 1, 128);
}

void SearchOptions::validate() const {
  check_range("nprobe", nprobe, 1, 1'000'000);
  check_range("ef_search", ef_search, 1, 10'000);
  check_range("rescore", rescore, 1, 100);
}

std::unique_ptr<VectorIndex> build_index(MatrixView vectors, const IndexSpec& spec,
                                         const BuildProgress& progress) {
  spec.validate();
  if (vectors.rows == 0) throw invalid_argument("there are no vectors; an index needs at least 1");
  if (vectors.rows > kMaxVectors) {
    throw invalid_argument(
        fmt::format("there are {} vectors; an index takes at most {}", vectors.rows, kMaxVectors));
  }
  if (vectors.cols == 0 || vectors.cols > kMaxDimension) {
    throw invalid_argument(
        fmt::format("vectors have {} columns; there must be 1 to {}", vectors.cols, kMaxDimension));
  }
  check_unit_rows(vectors, "vector");
  try {
    std::unique_ptr<VectorIndex> index = find_kind(spec.kind)->build(vectors, spec, progress);
    index->memory_.heap = vectors.rows * vectors.cols * sizeof(float) + index->heap_bytes();
    return index;
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw resource_exhausted(fmt::format("out of memory for an index of {} vectors of {} columns",
                                         vectors.rows, vectors.cols));
  } catch (const std::exception& error) {
    throw internal_error(fmt::format("building the {} index failed: {}", spec.kind, error.what()));
  }
}

std::unique_ptr<VectorIndex> open_index(const std::filesystem::path& path,
                                        const DeviceOptions& device) {
  try {
    IndexFile file = read_index_file(path);
    const std::size_t mapped = file.file->bytes().size();
    std::unique_ptr<VectorIndex> index = adopt(std::move(file));
    index->memory_ = {mapped, index->heap_bytes()};
    if (device.device != nullptr) index->copy_to_device(device, path.string());
    return index;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorruption) throw;
    throw corruption(
        fmt::format("{} is not a sound index: {}; build it again", path.string(), error.what()));
  } catch (const std::bad_alloc&) {
    throw resource_exhausted("out of memory for the index " + path.string());
  } catch (const std::exception& error) {
    throw internal_error(fmt::format("opening {} failed: {}", path.string(), error.what()));
  }
}

std::vector<std::string> index_kinds() {
  std::vector<std::string> names;
  for (const IndexKind* kind : kinds()) names.emplace_back(kind->name);
  return names;
}

}  // namespace vitrine::index
