#include "encoder/matmul_peak.h"

#include <atomic>
#include <chrono>
#include <vector>

#include "base/thread_team.h"
#include "encoder/cpu/block_float_linear.h"
#include "encoder/cpu/linear.h"
#include "encoder/cpu/quantized_linear.h"

namespace vitrine::encoder {
namespace {

using Clock = std::chrono::steady_clock;

// The rows that one thread takes through a ViT-B/32 at a time, and a fraction of one of its layers.
constexpr int kRows = 192;
constexpr int kInputs = 768;
constexpr int kOutputs = 256;

/// multiply(): one product of the rows and the layer; called by each thread.
template <typename Multiply>
double measure(int threads, double milliseconds, const Multiply& multiply) {
  ThreadTeam team(threads);
  std::atomic<std::int64_t> products{0};
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double, std::milli>(milliseconds));
  team.run([&](int) {
    std::int64_t done = 0;
    do {
      multiply();
      ++done;
    } while (Clock::now() < end);
    products += done;
  });
  const std::chrono::duration<double> seconds = Clock::now() - start;
  return 2.0 * kRows * kInputs * kOutputs * static_cast<double>(products) / seconds.count();
}

constexpr auto kDrop = [](int, int, int, int, const float*, const float*) {};

template <typename Value>
double measure_packed(const cpu::Kernels& set, int threads, double milliseconds) {
  const cpu::PackedLinear<Value> linear(set, Matrix(kOutputs, kInputs), {});
  const cpu::ProductRows<Value> rows(kRows, kInputs, cpu::reads_tiles<Value>(set));
  return measure(threads, milliseconds, [&] {
    linear.multiply(set, rows, {0, kRows}, 0, linear.panels(), nullptr, kDrop);
  });
}

double measure_block_float(const cpu::Kernels& set, int threads, double milliseconds) {
  const cpu::BlockFloatLinear linear(set, Matrix(kOutputs, kInputs), {});
  const cpu::BlockFloatRows rows(set, kRows, kInputs);
  return measure(threads, milliseconds, [&] {
    linear.multiply(set, rows, {0, kRows}, 0, linear.panels(), nullptr, kDrop);
  });
}

double measure_quantized(const cpu::Kernels& set, int threads, double milliseconds) {
  const std::vector<float> bias(kOutputs);
  const cpu::QuantizedLinear<float> linear(set, Matrix(kOutputs, kInputs), bias, {});
  const cpu::QuantizedRows rows(set, kRows, kInputs);
  return measure(threads, milliseconds, [&] {
    linear.multiply(set, rows, {0, kRows}, 0, linear.panels(), nullptr, kDrop);
  });
}

}  // namespace

double measure_matmul_peak(const EncoderInfo& info, double milliseconds) {
  if (info.kernels.empty()) return 0;
  const cpu::Kernels& set = cpu::kernels(cpu::find_kernel_set(info.kernels));
  if (info.precision == to_string(Precision::kInt8)) {
    return measure_quantized(set, info.threads, milliseconds);
  }
  if (info.precision == to_string(Precision::kBFloat16)) {
    return set.bf16_products ? measure_packed<cpu::BFloat16>(set, info.threads, milliseconds)
                             : measure_block_float(set, info.threads, milliseconds);
  }
  if (info.precision == to_string(Precision::kFloat32)) {
    return measure_packed<float>(set, info.threads, milliseconds);
  }
  return 0;
}

}  // namespace vitrine::encoder
