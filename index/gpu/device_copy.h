#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "index/exact_search.h"
#include "index/search_device.h"
#include "index/vector_index.h"

namespace vitrine::index {

/// Lists of an ivf index that a batch of queries searches.
struct DeviceLists {
  std::vector<std::int64_t> lists;  ///< [queries, lists a query]
  std::vector<std::size_t> rows;    ///< [queries], in all the lists of each
};

/// An index's copy on a device, for as long as the device serves. What the device proposes is
/// settled by the CPU, which also answers where the device leaves a hit open, cannot be asked, or
/// has failed: after a failure it is not asked again, and its memory is given back. Thread-safe.
class DeviceCopy {
 public:
  /// Answers queries without the device, in a result of all misses.
  using OnCpu = std::function<void(const MatrixView& queries, SearchResult& result)>;

  /// options: with a device. name: of the index, for the warning. vectors: of options.device.
  DeviceCopy(DeviceOptions options, std::string name, std::unique_ptr<DeviceVectors> vectors);

  /// False after the device has failed.
  bool serves() const { return vectors() != nullptr; }
  const SearchDevice& device() const { return *options_.device; }

  /// The result.k best rows of each query, as on_cpu finds them: of all rows, or of `lists` when it
  /// is not null, those that are allowed (null: all). places: row -> place, or null where the place
  /// is the row. on_cpu is called at most once. result: of all misses.
  void search(const SearchTables& tables, const std::int32_t* places, const MatrixView& queries,
              const RowSet* allowed, const DeviceLists* lists, const OnCpu& on_cpu,
              SearchResult& result) const;

 private:
  std::shared_ptr<const DeviceVectors> vectors() const;
  void fail(const std::string& why) const;

  // Constant after construction.
  const DeviceOptions options_;
  const std::string name_;

  mutable std::mutex mutex_;
  mutable std::shared_ptr<const DeviceVectors> vectors_;  // guarded by mutex_; null: failed
};

}  // namespace vitrine::index
