#include "encoder/matmul_peak.h"

#include <atomic>
#include <chrono>
#include <vector>

#include "base/thread_team.h"
#include "encoder/cpu/linear.h"

namespace vitrine::encoder {
namespace {

using Clock = std::chrono::steady_clock;

// The rows that one thread takes through a ViT-B/32 at a time, and a fraction of one of its layers.
constexpr int kRows = 192;
constexpr int kInputs = 768;
constexpr int kOutputs = 256;

template <typename Value>
double measure(int threads, double milliseconds) {
  const cpu::Kernels& set = cpu::kernels(cpu::supported_kernel_sets().back());
  const cpu::PackedLinear<Value> linear(set, Matrix(kOutputs, kInputs), {});
  const std::size_t stride = cpu::row_stride<Value>(kInputs);
  ThreadTeam team(threads);
  std::vector<cpu::AlignedBuffer<Value>> inputs;
  for (int i = 0; i < threads; ++i) inputs.emplace_back(static_cast<std::size_t>(kRows) * stride);
  std::atomic<std::int64_t> products{0};
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double, std::milli>(milliseconds));
  team.run([&](int rank) {
    const Value* x = inputs[static_cast<std::size_t>(rank)].data();
    std::int64_t done = 0;
    do {
      linear.multiply(set, x, kRows, 0, linear.panels(),
                      [](int, int, int, const float*, const float*) {});
      ++done;
    } while (Clock::now() < end);
    products += done;
  });
  const std::chrono::duration<double> seconds = Clock::now() - start;
  return 2.0 * kRows * kInputs * kOutputs * static_cast<double>(products) / seconds.count();
}

}  // namespace

double measure_matmul_peak(const EncoderInfo& info, double milliseconds) {
  if (info.precision == to_string(Precision::kBFloat16)) {
    return measure<cpu::BFloat16>(info.threads, milliseconds);
  }
  if (info.precision == to_string(Precision::kFloat32)) {
    return measure<float>(info.threads, milliseconds);
  }
  return 0;
}

}  // namespace vitrine::encoder
