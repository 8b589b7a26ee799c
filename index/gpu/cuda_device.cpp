#include "index/gpu/cuda_device.h"

#include <cuda_runtime_api.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/gpu/GpuIndexFlat.h>
#include <faiss/gpu/GpuIndexIVFFlat.h>
#include <faiss/gpu/StandardGpuResources.h>
#include <faiss/gpu/impl/IndexUtils.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "index/vector_index.h"

namespace vitrine::index {
namespace {

constexpr int kDevice = 0;
constexpr std::size_t kMiB = std::size_t{1} << 20;
/// FAISS's memory for the work of a search, of which all indices share one piece.
constexpr std::size_t kScratchBytes = 512 * kMiB;
/// Memory that stays free for what is allocated beyond it: cuBLAS, results, large batches.
constexpr std::size_t kSpareBytes = 512 * kMiB;
/// Queries of one call, so that searches of others get their turn, and their results stay small.
constexpr std::size_t kMostQueries = 256;
/// For each list that a query searches FAISS fetches the centroid.
constexpr std::size_t kMostCentroidBytes = 128 * kMiB;
/// FAISS lays the vectors of a list out in groups of so many.
constexpr std::size_t kGroup = 32;

std::string text_of(cudaError_t error) { return cudaGetErrorString(error); }

/// Whether the device still works. FAISS ends the process where a call to CUDA fails, and takes
/// an error that another library left behind on this thread for its own.
bool device_answers() {
  static_cast<void>(cudaSetDevice(kDevice));
  static_cast<void>(cudaGetLastError());
  // Does not wait: work of others on the device leaves it "not ready". A broken context is an error
  // of every call.
  const cudaError_t state = cudaStreamQuery(nullptr);
  static_cast<void>(cudaGetLastError());
  return state == cudaSuccess || state == cudaErrorNotReady;
}

/// cuVS, which newer builds of FAISS may hand searches to, neither takes lists that were chosen
/// before nor documents its arithmetic.
template <class Config>
Config without_cuvs(Config config) {
  config.device = kDevice;
  if constexpr (requires { config.use_cuvs; }) config.use_cuvs = false;
  return config;
}

/// FAISS's resources on the device; FAISS lets one thread at a time use them.
class Context {
 public:
  Context() : resources_(std::make_unique<faiss::gpu::StandardGpuResources>()) {
    resources_->setTempMemory(kScratchBytes);
    resources_->setPinnedMemory(0);  // only batches of hundreds of MiB would pass through it
    resources_->getResources()->initializeForDevice(kDevice);
  }

  ~Context() {
    // Of a device that is lost nothing can be given back.
    if (!device_answers()) static_cast<void>(resources_.release());
  }

  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  faiss::gpu::StandardGpuResources* resources() { return resources_.get(); }

  /// Runs calls to FAISS, one thread at a time. Throws Unavailable when they fail.
  template <class Call>
  auto run(const Call& call) {
    const std::lock_guard lock(mutex_);
    if (!device_answers()) throw unavailable("the CUDA device is lost");
    try {
      return call();
    } catch (const Error&) {
      throw;
    } catch (const std::bad_alloc&) {
      throw;  // the host's memory, without which the CPU cannot answer either
    } catch (const std::exception& error) {
      throw unavailable(std::string("FAISS on the GPU: ") + error.what());
    }
  }

  /// Destroys what lives on the device.
  template <class OnDevice>
  void destroy(std::unique_ptr<OnDevice> index) {
    const std::lock_guard lock(mutex_);
    if (!device_answers()) static_cast<void>(index.release());
    index.reset();
  }

  /// Within run(). Throws ResourceExhausted.
  static void check_room(std::size_t bytes) {
    std::size_t free = 0;
    std::size_t total = 0;
    const cudaError_t state = cudaMemGetInfo(&free, &total);
    if (state != cudaSuccess) throw unavailable("the CUDA device: " + text_of(state));
    if (free < bytes + kSpareBytes) {
      throw resource_exhausted(
          fmt::format("its vectors take {} MiB of the CUDA device's memory, of which {} of {} MiB "
                      "are free and {} stay so",
                      bytes / kMiB, free / kMiB, total / kMiB, kSpareBytes / kMiB));
    }
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<faiss::gpu::StandardGpuResources> resources_;  // guarded by mutex_
};

/// Index: a FAISS index on the GPU.
template <class Index>
class CudaVectors : public DeviceVectors {
 public:
  CudaVectors(std::shared_ptr<Context> context, std::unique_ptr<Index> index)
      : context_(std::move(context)), index_(std::move(index)) {}

  ~CudaVectors() override { context_->destroy(std::move(index_)); }

  DeviceCandidates best(MatrixView queries, std::size_t count,
                        std::span<const std::int64_t> lists) const override {
    DeviceCandidates found;
    found.rows.assign(queries.rows * count, kNoRow);
    found.scores.resize(queries.rows * count);
    const std::size_t lists_each = lists.size() / queries.rows;
    const std::size_t centroid_bytes = lists_each * queries.cols * sizeof(float);
    const std::size_t most = std::clamp<std::size_t>(
        kMostCentroidBytes / std::max<std::size_t>(centroid_bytes, 1), 1, kMostQueries);
    for (std::size_t first = 0; first < queries.rows; first += most) {
      const MatrixView some = {queries.row(first).data(), std::min(most, queries.rows - first),
                               queries.cols};
      context_->run([&] {
        search(*index_, some, count, lists.subspan(first * lists_each, some.rows * lists_each),
               found.scores.data() + first * count, found.rows.data() + first * count);
      });
    }
    return found;
  }

 private:
  static void search(const faiss::gpu::GpuIndexFlat& index, MatrixView queries, std::size_t count,
                     std::span<const std::int64_t> /*lists*/, float* scores, std::int64_t* rows) {
    index.search(static_cast<std::int64_t>(queries.rows), queries.data,
                 static_cast<std::int64_t>(count), scores, rows);
  }

  static void search(const faiss::gpu::GpuIndexIVFFlat& index, MatrixView queries,
                     std::size_t count, std::span<const std::int64_t> lists, float* scores,
                     std::int64_t* rows) {
    faiss::SearchParametersIVF parameters;
    parameters.nprobe = lists.size() / queries.rows;
    // Scores of the centroids, which count only where lists hold what centroids leave.
    const std::vector<float> unused(lists.size());
    index.search_preassigned(static_cast<std::int64_t>(queries.rows), queries.data,
                             static_cast<std::int64_t>(count), lists.data(), unused.data(), scores,
                             rows, false, &parameters);
  }

  const std::shared_ptr<Context> context_;
  std::unique_ptr<Index> index_;
};

class CudaDevice : public SearchDevice {
 public:
  CudaDevice(std::string description, std::shared_ptr<Context> context)
      : description_(std::move(description)), context_(std::move(context)) {}

  std::string name() const override { return "cuda"; }
  std::string description() const override { return description_; }
  std::size_t most_candidates() const override {
    return static_cast<std::size_t>(faiss::gpu::getMaxKSelection());
  }
  std::size_t most_lists() const override { return most_candidates(); }

  std::unique_ptr<DeviceVectors> copy_flat(const float* vectors, std::size_t rows,
                                           std::size_t dimension) override {
    auto index = context_->run([&] {
      Context::check_room(rows * (dimension + 1) * sizeof(float));  // FAISS keeps the norms as well
      auto flat = std::make_unique<faiss::gpu::GpuIndexFlat>(
          context_->resources(), static_cast<int>(dimension), faiss::METRIC_INNER_PRODUCT,
          without_cuvs(faiss::gpu::GpuIndexFlatConfig()));
      // At once, since each further call would move what is there; FAISS hands the pointer on to
      // CUDA, which copies bytes from any address.
      flat->add(static_cast<std::int64_t>(rows), vectors);
      return flat;
    });
    return std::make_unique<CudaVectors<faiss::gpu::GpuIndexFlat>>(context_, std::move(index));
  }

  std::unique_ptr<DeviceVectors> copy_ivf(const faiss::IndexIVFFlat& ivf) override {
    auto index = context_->run([&] {
      const auto dimension = static_cast<std::size_t>(ivf.d);
      const std::size_t vectors = static_cast<std::size_t>(ivf.ntotal) + kGroup * ivf.nlist;
      Context::check_room(vectors * (dimension * sizeof(float) + sizeof(std::int32_t)) +
                          ivf.nlist * (dimension + 1) * sizeof(float));
      faiss::gpu::GpuIndexIVFFlatConfig config = without_cuvs(faiss::gpu::GpuIndexIVFFlatConfig());
      config.flatConfig = without_cuvs(config.flatConfig);
      config.indicesOptions = faiss::gpu::INDICES_32_BIT;  // no index has 2^31 rows
      return std::make_unique<faiss::gpu::GpuIndexIVFFlat>(context_->resources(), &ivf, config);
    });
    return std::make_unique<CudaVectors<faiss::gpu::GpuIndexIVFFlat>>(context_, std::move(index));
  }

 private:
  const std::string description_;
  const std::shared_ptr<Context> context_;
};

FoundDevice none(const std::string& why) { return {nullptr, why, true}; }

}  // namespace

FoundDevice find_cuda_device() {
  // The one thing that makes cuBLAS round more than FAISS asks it to, which no check would find.
  const char* rounding = std::getenv("NVIDIA_TF32_OVERRIDE");
  if (rounding != nullptr && std::string_view(rounding) != "0") {
    return none("the CUDA device is not used while NVIDIA_TF32_OVERRIDE is set to other than 0");
  }
  int devices = 0;
  cudaError_t state = cudaGetDeviceCount(&devices);
  if (state == cudaSuccess && devices == 0) state = cudaErrorNoDevice;
  if (state != cudaSuccess) return none("no CUDA device answers: " + text_of(state));
  cudaDeviceProp properties{};
  std::size_t free = 0;
  std::size_t total = 0;
  state = cudaSetDevice(kDevice);
  if (state == cudaSuccess) state = cudaGetDeviceProperties(&properties, kDevice);
  if (state == cudaSuccess) state = cudaMemGetInfo(&free, &total);
  if (state != cudaSuccess) return none("the CUDA device does not answer: " + text_of(state));
  if (free < kScratchBytes + kSpareBytes) {
    return none(fmt::format("the CUDA device has {} MiB of free memory; searches alone take {}",
                            free / kMiB, (kScratchBytes + kSpareBytes) / kMiB));
  }
  try {
    return {std::make_shared<CudaDevice>(
                fmt::format("CUDA device {} ({}, {} MiB)", kDevice,
                            static_cast<const char*>(properties.name), total / kMiB),
                std::make_shared<Context>()),
            "", true};
  } catch (const std::exception& error) {
    return none(std::string("the CUDA device cannot be used: ") + error.what());
  }
}

}  // namespace vitrine::index
