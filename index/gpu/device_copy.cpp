#include "index/gpu/device_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <utility>

#include "index/gpu/device_hits.h"
#include "index/parallel.h"

namespace vitrine::index {
namespace {

/// Candidates asked for beyond k. Between the k-th hit and the last candidate must lie a difference
/// of scores that rounding cannot bridge, some 1e-4, or the CPU searches as well. What selecting
/// and settling so many costs is little beside comparing all rows.
std::size_t spare_candidates(std::size_t k) { return 64 + k / 4; }

/// Candidates to ask for, or nothing where the CPU is the one to ask. A device does not know the
/// filter: it is asked for so many that enough of them are allowed. Where fewer than half of the
/// rows are, the CPU compares just those.
std::optional<std::size_t> candidates_for(std::size_t k, std::size_t rows, const RowSet* allowed,
                                          std::size_t most) {
  std::size_t wanted = k + spare_candidates(k);
  if (allowed != nullptr) {
    const std::size_t count = allowed->count();
    if (2 * count < rows) return std::nullopt;
    wanted = wanted * rows / count;
  }
  wanted = std::min(wanted, rows);
  return wanted <= most ? std::optional(wanted) : std::nullopt;
}

Matrix rows_of(MatrixView queries, std::span<const std::size_t> numbers) {
  Matrix rows(numbers.size(), queries.cols);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    std::ranges::copy(queries.row(numbers[i]), rows.row(i).begin());
  }
  return rows;
}

}  // namespace

DeviceCopy::DeviceCopy(DeviceOptions options, std::string name,
                       std::unique_ptr<DeviceVectors> vectors)
    : options_(std::move(options)), name_(std::move(name)), vectors_(std::move(vectors)) {}

std::shared_ptr<const DeviceVectors> DeviceCopy::vectors() const {
  const std::lock_guard lock(mutex_);
  return vectors_;
}

void DeviceCopy::fail(const std::string& why) const {
  std::shared_ptr<const DeviceVectors> dropped;
  {
    const std::lock_guard lock(mutex_);
    dropped.swap(vectors_);
  }
  // Of several searches that fail at once the first one tells.
  if (dropped != nullptr && options_.warn) {
    options_.warn(fmt::format("{} is searched on the CPU from here on, since {} failed: {}", name_,
                              options_.device->name(), why));
  }
}

void DeviceCopy::search(const SearchTables& tables, const std::int32_t* places,
                        const MatrixView& queries, const RowSet* allowed, const DeviceLists* lists,
                        const OnCpu& on_cpu, SearchResult& result) const {
  const std::size_t k = result.k;
  const std::shared_ptr<const DeviceVectors> vectors = this->vectors();
  if (vectors == nullptr) return on_cpu(queries, result);
  const std::size_t total = tables.vectors->size();
  const std::optional<std::size_t> asked =
      candidates_for(k, total, allowed, options_.device->most_candidates());
  if (!asked) return on_cpu(queries, result);

  const std::size_t count = *asked;
  std::vector<char> answered(queries.rows, 0);
  try {
    const DeviceCandidates candidates = vectors->best(
        queries, count, lists == nullptr ? std::span<const std::int64_t>{} : lists->lists);
    parallel_for(
        queries.rows, threads_for(queries.rows * count * queries.cols), [&](std::size_t query) {
          const Proposal proposal = {std::span(candidates.rows).subspan(query * count, count),
                                     std::span(candidates.scores).subspan(query * count, count),
                                     lists == nullptr ? total : lists->rows[query]};
          auto hits = proven_hits(tables, places, queries.row(query).data(), proposal, allowed, k);
          if (!hits) return;
          put_hits(std::move(*hits), query, result);
          answered[query] = 1;
        });
  } catch (const std::bad_alloc&) {
    throw;  // the host's memory, without which the CPU cannot answer either
  } catch (const std::exception& error) {
    fail(error.what());
    reset(queries.rows, k, result);
    return on_cpu(queries, result);
  }

  std::vector<std::size_t> open;
  for (std::size_t query = 0; query < queries.rows; ++query) {
    if (answered[query] == 0) open.push_back(query);
  }
  if (open.empty()) return;
  if (open.size() == queries.rows) return on_cpu(queries, result);
  SearchResult rest = make_result(open.size(), k);
  on_cpu(rows_of(queries, open), rest);
  for (std::size_t i = 0; i < open.size(); ++i) {
    const auto from = static_cast<std::ptrdiff_t>(i * k);
    const auto to = static_cast<std::ptrdiff_t>(open[i] * k);
    const auto hits = static_cast<std::ptrdiff_t>(k);
    std::copy_n(rest.rows.begin() + from, hits, result.rows.begin() + to);
    std::copy_n(rest.scores.begin() + from, hits, result.scores.begin() + to);
  }
}

}  // namespace vitrine::index
