#define VITRINE_LANES 16
#define VITRINE_ROWS 12
#include "encoder/cpu/kernels_impl.h"

namespace vitrine::encoder::cpu {
namespace {

/// Where each line of a panel is used once, what is fetched is this far ahead of what is
/// multiplied: far enough for memory to be in time, near enough to be still in the cache.
constexpr std::ptrdiff_t kAheadBytes = 8192;

/// kUsedOnce: a panel's lines are not needed again.
template <int kRows, bool kUsedOnce>
void multiply_pairs_of_rows(const BFloat16* a, std::size_t a_stride, const BFloat16* panel, int k,
                            float* c) {
  __m512 left[kRows], right[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) left[r] = right[r] = _mm512_setzero_ps();
  for (int i = 0; i < k; i += 2) {
    if constexpr (kUsedOnce) {
      const char* line = reinterpret_cast<const char*>(panel) + kAheadBytes;
      _mm_prefetch(line, _MM_HINT_T1);
      _mm_prefetch(line + 64, _MM_HINT_T1);
    }
    const auto panel_left = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel));
    const auto panel_right = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + kPanelColumns));
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      int pair;
      std::memcpy(&pair, a + static_cast<std::size_t>(r) * a_stride, sizeof(pair));
      const auto values = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
      left[r] = _mm512_dpbf16_ps(left[r], values, panel_left);
      right[r] = _mm512_dpbf16_ps(right[r], values, panel_right);
    }
    panel += std::size_t{2} * kPanelColumns;
    a += 2;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(c + static_cast<std::size_t>(r) * kPanelColumns, left[r]);
    _mm512_storeu_ps(c + static_cast<std::size_t>(r) * kPanelColumns + 16, right[r]);
  }
}

using MultiplyRows = void (*)(const BFloat16*, std::size_t, const BFloat16*, int, float*);
template <bool kUsedOnce>
constexpr MultiplyRows kMultiplyRows[kMaxRows] = {
    multiply_pairs_of_rows<1, kUsedOnce>,  multiply_pairs_of_rows<2, kUsedOnce>,
    multiply_pairs_of_rows<3, kUsedOnce>,  multiply_pairs_of_rows<4, kUsedOnce>,
    multiply_pairs_of_rows<5, kUsedOnce>,  multiply_pairs_of_rows<6, kUsedOnce>,
    multiply_pairs_of_rows<7, kUsedOnce>,  multiply_pairs_of_rows<8, kUsedOnce>,
    multiply_pairs_of_rows<9, kUsedOnce>,  multiply_pairs_of_rows<10, kUsedOnce>,
    multiply_pairs_of_rows<11, kUsedOnce>, multiply_pairs_of_rows<12, kUsedOnce>};

void multiply_bf16_natively(const BFloat16* a, const RowLayout& layout, int rows,
                            const BFloat16* panels, int panel_count, int k, float* c,
                            const BFloat16* /*next*/, int /*next_lines*/) {
  const int blocks = (rows + kMaxRows - 1) / kMaxRows;
  const auto& multiply = blocks == 1 ? kMultiplyRows<true> : kMultiplyRows<false>;
  for (int p = 0; p < panel_count; ++p) {
    for (int block = 0; block < blocks; ++block) {
      const int first = rows * block / blocks;
      const int count = rows * (block + 1) / blocks - first;
      multiply[count - 1](a + static_cast<std::size_t>(first) * layout.row_stride,
                          layout.row_stride, panels, k,
                          c + static_cast<std::size_t>(first) * kPanelColumns);
    }
    panels += static_cast<std::size_t>(k) * kPanelColumns;
    c += static_cast<std::size_t>(rows) * kPanelColumns;
  }
}

}  // namespace

const Kernels& avx512_bf16_kernels() {
  static const Kernels table = [] {
    Kernels kernels = kGenericKernels;  // which round to bfloat16 in one instruction here
    kernels.multiply_bf16 = multiply_bf16_natively;
    kernels.bf16_products = true;
    kernels.multiply_int8 = avx512_vnni_kernels().multiply_int8;
    kernels.multiply_blocks = avx512_vnni_kernels().multiply_blocks;
    return kernels;
  }();
  return table;
}

}  // namespace vitrine::encoder::cpu
