#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"

namespace faiss {
struct IndexIVFFlat;
}

namespace vitrine::index {

/// Where flat and ivf indices are to be searched.
enum class DevicePreference {
  kAuto,  ///< kCuda where the program was built for it and a device answers, else kCpu
  kCpu,
  kCuda,  ///< the first CUDA device; without one the CPU, with a warning
};

std::string_view to_string(DevicePreference preference);
/// "auto", "cpu" or "cuda". Throws InvalidArgument that lists them.
DevicePreference parse_device_preference(std::string_view name);

/// The rows that a device takes for the best of each query, by its own float32 arithmetic:
/// row-major [queries, count], best first. Those missing have row kNoRow and come last.
struct DeviceCandidates {
  std::vector<std::int64_t> rows;
  std::vector<float> scores;
};

/// A copy of an index's vectors in a device's memory, which is given back with it. Thread-safe.
class DeviceVectors {
 public:
  virtual ~DeviceVectors() = default;
  DeviceVectors(const DeviceVectors&) = delete;
  DeviceVectors& operator=(const DeviceVectors&) = delete;

  /// The `count` best rows of each query: of all rows of a flat index (lists is empty), or of the
  /// named lists of an ivf one.
  /// queries: [n, dimension], n at least 1, finite, of unit length. count: [1, most_candidates()].
  /// lists: [n, lists a query], each query's distinct, at most most_lists() of them.
  /// Throws Unavailable when the device fails or its memory does not suffice.
  virtual DeviceCandidates best(MatrixView queries, std::size_t count,
                                std::span<const std::int64_t> lists) const = 0;

 protected:
  DeviceVectors() = default;
};

/// Hardware that compares vectors in float32 faster than the CPU, in memory of its own. It only
/// proposes: scores, order and what is missing are settled by the CPU (gpu/device_hits.h), so that
/// answers do not depend on it. Thread-safe.
class SearchDevice {
 public:
  virtual ~SearchDevice() = default;
  SearchDevice(const SearchDevice&) = delete;
  SearchDevice& operator=(const SearchDevice&) = delete;

  /// As VectorIndex::device() says it: "cuda".
  virtual std::string name() const = 0;
  /// For the log: which device it is.
  virtual std::string description() const = 0;
  /// Rows that one query can be given.
  virtual std::size_t most_candidates() const = 0;
  /// Lists that one query can search.
  virtual std::size_t most_lists() const = 0;

  /// Copies the vectors of a flat index: row-major [rows, dimension], at any address.
  /// Throws ResourceExhausted when they do not fit its memory, Unavailable when it fails.
  virtual std::unique_ptr<DeviceVectors> copy_flat(const float* vectors, std::size_t rows,
                                                   std::size_t dimension) = 0;
  /// Copies the centroids and lists of an ivf index. Throws the same.
  virtual std::unique_ptr<DeviceVectors> copy_ivf(const faiss::IndexIVFFlat& ivf) = 0;

 protected:
  SearchDevice() = default;
};

/// How open_index() uses a device.
struct DeviceOptions {
  /// Flat and ivf indices are copied to it. Null: all are searched on the CPU.
  std::shared_ptr<SearchDevice> device;
  /// Told, from any thread, why an index is searched on the CPU although there is a device: once
  /// for an index. Must not throw. May be empty.
  std::function<void(const std::string& message)> warn;
};

/// What find_search_device() found.
struct FoundDevice {
  std::shared_ptr<SearchDevice> device;  ///< null: the CPU
  /// Why there is none: the program was not built for it, or no device answers. Empty when there is
  /// one, or none was looked for.
  std::string why_none;
  /// Whether the program was built for a device, so that it may be missed where none was asked for.
  bool built_in = false;
};

/// Looks for the device that is preferred; takes a part of its memory for its work. Never throws
/// for want of a device.
FoundDevice find_search_device(DevicePreference preference);

}  // namespace vitrine::index
