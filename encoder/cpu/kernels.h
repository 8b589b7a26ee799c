#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "encoder/clip_config.h"

namespace vitrine::encoder::cpu {

/// A bfloat16 number: the upper half of a float32.
using BFloat16 = std::uint16_t;

/// Columns of a product that are computed together, whatever the instruction set. The right-hand
/// side of a product is stored as panels of this many columns.
inline constexpr int kPanelColumns = 32;
/// Rows that a tile register holds.
inline constexpr int kTileRows = 16;
/// Values of a cache line, which is a row of a tile.
template <typename Value>
inline constexpr int kLineValues = 64 / static_cast<int>(sizeof(Value));
/// The depth of an 8-bit product is a multiple of the unit and, so that sums of 32 bits are exact,
/// at most the limit: 255 * 127 * kMaxInt8Depth < 2^31.
inline constexpr int kInt8DepthUnit = 64;
inline constexpr int kMaxInt8Depth = 66304;

/// Block floating point: kBlockDepth numbers of 16 bits, one after the other in a row of inputs,
/// have one scale. Numbers of inputs lie within kBlockInputLimit, and the absolute values of an
/// output's weights add up to kBlockWeightSum in no block, so that sums of 32 bits are exact.
inline constexpr int kBlockDepth = 128;
inline constexpr int kBlockPanels = kBlockDepth / kPanelColumns;
inline constexpr int kBlockInputLimit = 8191;
inline constexpr int kBlockWeightSum = 262144;

/// Where the left-hand side of a product lies. All in values, from the first value of the first of
/// kTileRows rows on.
struct RowLayout {
  std::size_t row_stride = 0;    ///< to the next of kTileRows rows
  std::size_t line_stride = 0;   ///< to a row's next line
  std::size_t group_stride = 0;  ///< to the next kTileRows rows
};
/// Rows one after the other.
template <typename Value>
constexpr RowLayout row_major(std::size_t stride) {
  return {
      .row_stride = stride, .line_stride = kLineValues<Value>, .group_stride = kTileRows * stride};
}

/// What the 8-bit numbers of a row mean: value = scale * (number - zero). zero is in [0, 255].
struct RowQuantization {
  float scale = 0;
  std::int32_t zero = 0;
};

/// Each has what the one before has, and more.
enum class KernelSet {
  kPortable,
  kAvx2,
  kAvx512,
  kAvx512Vnni,  ///< products of integers, 8-bit and of pairs, in one instruction
  kAvx512Bf16,  ///< bfloat16 products in vector registers
  kAmx,         ///< bfloat16 and 8-bit products in tile registers
};
std::string_view to_string(KernelSet set);
/// What this CPU and its operating system can run, slowest first; never empty.
const std::vector<KernelSet>& supported_kernel_sets();
/// The one of them to take where none is asked for.
KernelSet fastest_kernel_set();
/// The supported set of that name, or for "auto" the fastest. Throws InvalidArgument that lists
/// them.
KernelSet find_kernel_set(std::string_view name);

/// The arithmetic of the transformer for one set of kernels. All functions are pure, safe to call
/// from many threads, and accept unaligned pointers; strides are in elements.
struct Kernels {
  /// c[rows, cols] = a[rows, k] b[k, cols]; cols is a multiple of kPanelColumns. next: null, or b
  /// is a panel, [k, kPanelColumns], that is fetched while it is multiplied, and then the beginning
  /// of the one at `next`.
  void (*multiply)(const float* a, std::size_t a_stride, int rows, const float* b,
                   std::size_t b_stride, int cols, int k, float* c, std::size_t c_stride,
                   const float* next);
  /// c[p][rows, kPanelColumns] = a[rows, k] panel p, for consecutive panels; k is a multiple of 32.
  /// Element (i, j) of a panel is at (i / 2) * 2 * kPanelColumns + 2 * j + i % 2. Sums are float32.
  /// What will be needed next may be named: `next_lines` cache lines from `next` on, which need not
  /// exist. a: in any layout where `tiles` is set, else rows one after the other.
  void (*multiply_bf16)(const BFloat16* a, const RowLayout& layout, int rows,
                        const BFloat16* panels, int panel_count, int k, float* c,
                        const BFloat16* next, int next_lines);

  /// The same of 8-bit numbers, those of a from 0 to 255, with exact sums; k is a multiple of
  /// kInt8DepthUnit, and element (i, j) of a panel at (i / 4) * 4 * kPanelColumns + 4 * j + i % 4.
  void (*multiply_int8)(const std::uint8_t* a, const RowLayout& layout, int rows,
                        const std::int8_t* panels, int panel_count, int k, std::int32_t* c,
                        const std::int8_t* next, int next_lines);
  /// c[rows, kPanelColumns] = column_scales * (a[rows, k] panel) of block floating point; k is a
  /// multiple of 32. a, a_scales: rows of numbers and of the scales of their blocks; panel: as one
  /// of multiply_bf16. next: the panel that will be needed afterwards, whose beginning is fetched,
  /// or null.
  void (*multiply_blocks)(const std::int16_t* a, std::size_t a_stride, const float* a_scales,
                          std::size_t a_scales_stride, int rows, const std::int16_t* panel,
                          const float* column_scales, int k, float* c, const std::int16_t* next);
  /// multiply_bf16() is faster than multiply_blocks().
  bool bf16_products;
  /// multiply_bf16() and multiply_int8() are fastest with rows in tiles, and with as many rows a
  /// call as they can be given.
  bool tiles;

  /// Rounds n values to 8 bits, in steps that just cover them and zero. out: lines of 64 at
  /// line_stride.
  RowQuantization (*quantize)(const float* values, int n, std::uint8_t* out,
                              std::size_t line_stride);
  RowQuantization (*quantize_bf16)(const BFloat16* values, int n, std::uint8_t* out,
                                   std::size_t line_stride);
  /// values = quantization.scale * scales * (sums - quantization.zero * column_sums) + offsets for
  /// a block of rows at kPanelColumns, each with a quantization of its own: what a product of 8-bit
  /// numbers stands for. column_sums: of the columns of its right-hand side. offsets: one for each
  /// of the values, or null for none. values may be where sums are.
  void (*dequantize)(const std::int32_t* sums, const std::int32_t* column_sums, const float* scales,
                     const RowQuantization* quantization, int rows, const float* offsets,
                     float* values);

  /// Rounds n values to block floating point. scales: of the blocks; NaN where a value of one is
  /// not finite.
  void (*to_blocks)(const float* values, int n, std::int16_t* out, float* scales);

  /// out = (x - mean) / sqrt(variance + eps) * scale + shift over n values; out may be x.
  void (*layer_norm)(const float* x, const float* scale, const float* shift, float eps, int n,
                     float* out);
  /// Rounded, to lines of 32 at line_stride.
  void (*layer_norm_bf16)(const float* x, const float* scale, const float* shift, float eps, int n,
                          BFloat16* out, std::size_t line_stride);

  // The epilogues of a linear layer, on n <= kPanelColumns columns of a block of sums without bias:
  // rows at kPanelColumns. out: rows at out_stride.
  void (*add_bias)(const float* sums, const float* bias, int rows, int n, float* out,
                   std::size_t out_stride);
  void (*add_bias_bf16)(const float* sums, const float* bias, int rows, int n, BFloat16* out,
                        std::size_t out_stride);
  void (*activate)(const float* sums, const float* bias, Activation activation, int rows, int n,
                   float* out, std::size_t out_stride);
  void (*activate_bf16)(const float* sums, const float* bias, Activation activation, int rows,
                        int n, BFloat16* out, std::size_t out_stride);
  /// activate() and to_blocks() of the panels of up to kBlockDepth columns, panel_stride apart,
  /// with what block floating point can tell of the result. out: room for whole panels. scales: of
  /// the rows, at scales_stride; NaN where a value of the block is not finite.
  void (*activate_blocks)(const float* sums, std::size_t panel_stride, const float* bias,
                          Activation activation, int rows, int panels, std::int16_t* out,
                          std::size_t out_stride, float* scales, std::size_t scales_stride);
  /// out += sums + bias: a residual.
  void (*accumulate)(const float* sums, const float* bias, int rows, int n, float* out,
                     std::size_t out_stride);

  /// row = softmax(row[0, count)), zeros from there to padded.
  void (*softmax)(float* row, int count, int padded);
  /// The same for a row whose columns lie in panels, panel_stride apart, as multiply_bf16 leaves
  /// them; rounded, to padded numbers one after the other. padded is a multiple of kPanelColumns.
  /// What was in the row is lost.
  void (*softmax_bf16)(float* row, std::size_t panel_stride, int count, int padded, BFloat16* out);

  /// What one query attends to: out[depth] = the sum of softmax(query . key) * value of `count`
  /// keys, which lie anywhere, each with its value at value_offset. weights: room for `count`. No
  /// bit depends on which other queries there are.
  void (*attend)(const float* query, const float* const* keys, std::size_t value_offset, int count,
                 int depth, float* weights, float* out);

  void (*to_bf16)(const float* values, std::size_t n, BFloat16* out);
  void (*from_bf16)(const BFloat16* values, std::size_t n, float* out);
  /// Two rows of a panel become one of pairs: out[(i * kPanelColumns + j) * 2 + h] =
  /// panel[(2 * i + h) * kPanelColumns + j] for i < pairs, h < 2.
  void (*interleave_bf16)(const float* panel, int pairs, BFloat16* out);
  /// The panels of multiply_bf16 for a product with rows [count][depth] that lie anywhere: with
  /// their transposed, which has `count` columns, and with themselves. Both dimensions are filled
  /// up with zeros to multiples of kPanelColumns, the depth of a product too.
  void (*pack_transposed_bf16)(const BFloat16* const* rows, int count, int depth, BFloat16* panels);
  void (*pack_bf16)(const BFloat16* const* rows, int count, int depth, BFloat16* panels);
  /// out[j * out_stride + i] = values[i * stride + j] for i < rows, j < cols.
  void (*transpose)(const float* values, std::size_t stride, int rows, int cols, float* out,
                    std::size_t out_stride);
};

/// The kernels of a supported set.
const Kernels& kernels(KernelSet set);

}  // namespace vitrine::encoder::cpu
