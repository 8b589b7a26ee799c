#include "index/kernels/byte_weights.h"

#include <algorithm>
#include <cmath>

#include "base/kernel_choice.h"
#include "index/kernels/lanes.h"
#include "index/rounding.h"

namespace vitrine::index {
namespace {

constexpr auto kMost = static_cast<float>(kMostByteWeight);
constexpr auto kLowSteps = static_cast<float>(ByteWeights::kLowSteps);

/// What elements are multiplied with to count them in steps.
float steps_of(float largest, float most) {
  return largest > kLeastElement ? most / largest : 0.0F;
}

float largest_portable(const float* elements) {
  float largest = 0;
  for (std::size_t i = 0; i < kByteRow; ++i) largest = std::max(largest, std::abs(elements[i]));
  return largest;
}

ByteWeightsLoss round_portable(const float* elements, int most, RoundedWeights& weights) {
  ByteWeightsLoss loss;
  loss.largest = largest_portable(elements);
  weights.step = loss.largest / static_cast<float>(most);
  const float steps = steps_of(loss.largest, static_cast<float>(most));
  for (std::size_t i = 0; i < kByteRow; ++i) {
    const float weight = rounded(elements[i] * steps);
    const float lost = elements[i] - weights.step * weight;
    weights.weights[i] = static_cast<std::int8_t>(weight);
    loss.square += elements[i] * elements[i];
    loss.rough_lost_square += lost * lost;
  }
  return loss;
}

ByteWeightsLoss split_portable(const float* elements, ByteWeights& weights) {
  ByteWeightsLoss loss;
  loss.largest = largest_portable(elements);
  weights.step = loss.largest / kMost;
  weights.high_sum = 0;
  weights.low_sum = 0;
  const float steps = steps_of(loss.largest, kMost);
  for (std::size_t i = 0; i < kByteRow; ++i) {
    const float high = rounded(elements[i] * steps);
    const float roughly_lost = elements[i] - weights.step * high;
    const float low = std::clamp(rounded(roughly_lost * steps * kLowSteps), -kMost, kMost);
    const float lost = roughly_lost - weights.step / kLowSteps * low;
    weights.high[i] = static_cast<std::int8_t>(high);
    weights.low[i] = static_cast<std::int8_t>(low);
    weights.high_sum += weights.high[i];
    weights.low_sum += weights.low[i];
    loss.square += elements[i] * elements[i];
    loss.lost_square += lost * lost;
    loss.rough_lost_square += roughly_lost * roughly_lost;
  }
  return loss;
}

#if defined(__x86_64__)
#define VITRINE_AVX2 __attribute__((target("avx2,fma")))

constexpr std::size_t kLanes = 8;
constexpr std::size_t kVectors = kByteRow / kLanes;

/// The whole numbers of four vectors, each of which fits a byte, one behind another.
VITRINE_AVX2 inline void store_bytes_avx2(const __m256i whole[kVectors], std::int8_t* out) {
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]),
                                           _mm256_packs_epi32(whole[2], whole[3]));
  // Packing goes by halves of a register: four bytes of each vector lie together, in turn.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permutevar8x32_epi32(bytes, order));
}

/// Loads the elements. Returns the largest magnitude.
VITRINE_AVX2 inline float load_avx2(const float* elements, __m256 values[kVectors]) {
  __m256 magnitudes = _mm256_setzero_ps();
  for (std::size_t v = 0; v < kVectors; ++v) {
    values[v] = _mm256_loadu_ps(elements + v * kLanes);
    magnitudes = _mm256_max_ps(magnitudes, _mm256_andnot_ps(_mm256_set1_ps(-0.0F), values[v]));
  }
  return largest_of_lanes(magnitudes);
}

VITRINE_AVX2 ByteWeightsLoss round_avx2(const float* elements, int most, RoundedWeights& weights) {
  __m256 values[kVectors];
  ByteWeightsLoss loss;
  loss.largest = load_avx2(elements, values);
  weights.step = loss.largest / static_cast<float>(most);
  const __m256 step = _mm256_set1_ps(weights.step);
  const __m256 steps = _mm256_set1_ps(steps_of(loss.largest, static_cast<float>(most)));
  __m256i whole[kVectors];
  __m256 squares = _mm256_setzero_ps();
  __m256 lost_squares = _mm256_setzero_ps();
  for (std::size_t v = 0; v < kVectors; ++v) {
    whole[v] = _mm256_cvtps_epi32(_mm256_mul_ps(values[v], steps));
    const __m256 lost = _mm256_fnmadd_ps(step, _mm256_cvtepi32_ps(whole[v]), values[v]);
    squares = _mm256_fmadd_ps(values[v], values[v], squares);
    lost_squares = _mm256_fmadd_ps(lost, lost, lost_squares);
  }
  store_bytes_avx2(whole, weights.weights.data());
  loss.square = sum_of_lanes(squares);
  loss.rough_lost_square = sum_of_lanes(lost_squares);
  return loss;
}

VITRINE_AVX2 ByteWeightsLoss split_avx2(const float* elements, ByteWeights& weights) {
  __m256 values[kVectors];
  ByteWeightsLoss loss;
  loss.largest = load_avx2(elements, values);
  weights.step = loss.largest / kMost;
  const __m256 step = _mm256_set1_ps(weights.step);
  const __m256 low_step = _mm256_set1_ps(weights.step / kLowSteps);
  const __m256 steps = _mm256_set1_ps(steps_of(loss.largest, kMost));
  const __m256 low_steps = _mm256_set1_ps(steps_of(loss.largest, kMost) * kLowSteps);
  const __m256 most = _mm256_set1_ps(kMost);
  __m256i highs[kVectors];
  __m256i lows[kVectors];
  __m256i high_sums = _mm256_setzero_si256();
  __m256i low_sums = _mm256_setzero_si256();
  __m256 squares = _mm256_setzero_ps();
  __m256 lost_squares = _mm256_setzero_ps();
  __m256 rough_lost_squares = _mm256_setzero_ps();
  for (std::size_t v = 0; v < kVectors; ++v) {
    highs[v] = _mm256_cvtps_epi32(_mm256_mul_ps(values[v], steps));
    const __m256 roughly_lost = _mm256_fnmadd_ps(step, _mm256_cvtepi32_ps(highs[v]), values[v]);
    const __m256 low = _mm256_max_ps(_mm256_min_ps(_mm256_mul_ps(roughly_lost, low_steps), most),
                                     _mm256_sub_ps(_mm256_setzero_ps(), most));
    lows[v] = _mm256_cvtps_epi32(low);
    const __m256 lost = _mm256_fnmadd_ps(low_step, _mm256_cvtepi32_ps(lows[v]), roughly_lost);
    high_sums = _mm256_add_epi32(high_sums, highs[v]);
    low_sums = _mm256_add_epi32(low_sums, lows[v]);
    squares = _mm256_fmadd_ps(values[v], values[v], squares);
    lost_squares = _mm256_fmadd_ps(lost, lost, lost_squares);
    rough_lost_squares = _mm256_fmadd_ps(roughly_lost, roughly_lost, rough_lost_squares);
  }
  store_bytes_avx2(highs, weights.high.data());
  store_bytes_avx2(lows, weights.low.data());
  weights.high_sum = sum_of_lanes(high_sums);
  weights.low_sum = sum_of_lanes(low_sums);
  loss.square = sum_of_lanes(squares);
  loss.lost_square = sum_of_lanes(lost_squares);
  loss.rough_lost_square = sum_of_lanes(rough_lost_squares);
  return loss;
}
#endif

constexpr KernelFor<ByteWeightsKernel> kKernels[] = {
    {InstructionSet::kPortable, {split_portable, round_portable}},
#if defined(__x86_64__)
    {InstructionSet::kAvx2, {split_avx2, round_avx2}},  // for AVX-512 32 elements are too few
#endif
};

}  // namespace

const ByteWeightsKernel& byte_weights_kernel(InstructionSet instruction_set) {
  return choose_kernel(kKernels, instruction_set);
}

const ByteWeightsKernel& byte_weights_kernel() {
  static const ByteWeightsKernel& best = byte_weights_kernel(best_instruction_set());
  return best;
}

}  // namespace vitrine::index
