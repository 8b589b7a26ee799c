#define VITRINE_LANES 16
#define VITRINE_ROWS 12
#include "encoder/cpu/kernels_impl.h"

namespace vitrine::encoder::cpu {
namespace {

/// Memory that will be needed next: so many lines, one after the other.
struct Ahead {
  const char* line;
  int lines;
};

/// Of the depth of a product, between two fetches of what is needed next.
constexpr int kFetchDepth = 16;

template <int kRows>
void multiply_fours_of_rows(const std::uint8_t* a, std::size_t a_stride, const std::int8_t* panel,
                            int k, std::int32_t* c, Ahead next) {
  __m512i left[kRows], right[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) left[r] = right[r] = _mm512_setzero_si512();
  RowPointers<kRows, std::uint8_t> rows(a, a_stride);
  const int lines_a_chunk = (next.lines * kFetchDepth + k - 1) / k;
  for (int i = 0; i < k; i += kFetchDepth) {
    for (int line = 0; line < lines_a_chunk; ++line, next.line += 64) {
      _mm_prefetch(next.line, _MM_HINT_T1);
    }
#pragma GCC unroll 4
    for (int four = 0; four < kFetchDepth; four += 4) {
      const __m512i panel_left = _mm512_loadu_si512(panel);
      const __m512i panel_right = _mm512_loadu_si512(panel + 2 * kPanelColumns);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        int numbers;
        std::memcpy(&numbers, rows.at(r, four), sizeof(numbers));
        const __m512i values = _mm512_set1_epi32(numbers);
        left[r] = _mm512_dpbusd_epi32(left[r], values, panel_left);
        right[r] = _mm512_dpbusd_epi32(right[r], values, panel_right);
      }
      panel += std::size_t{4} * kPanelColumns;
    }
    rows.advance(kFetchDepth);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    std::int32_t* row = c + static_cast<std::size_t>(r) * kPanelColumns;
    _mm512_storeu_si512(row, left[r]);
    _mm512_storeu_si512(row + kLanes, right[r]);
  }
}

using MultiplyFours = void (*)(const std::uint8_t*, std::size_t, const std::int8_t*, int,
                               std::int32_t*, Ahead);
constexpr MultiplyFours kMultiplyFours[kMaxRows] = {
    multiply_fours_of_rows<1>,  multiply_fours_of_rows<2>,  multiply_fours_of_rows<3>,
    multiply_fours_of_rows<4>,  multiply_fours_of_rows<5>,  multiply_fours_of_rows<6>,
    multiply_fours_of_rows<7>,  multiply_fours_of_rows<8>,  multiply_fours_of_rows<9>,
    multiply_fours_of_rows<10>, multiply_fours_of_rows<11>, multiply_fours_of_rows<12>};

void multiply_int8_natively(const std::uint8_t* a, const RowLayout& layout, int rows,
                            const std::int8_t* panels, int panel_count, int k, std::int32_t* c,
                            const std::int8_t* next, int next_lines) {
  const int blocks = (rows + kMaxRows - 1) / kMaxRows;
  const int calls = panel_count * blocks;
  for (int p = 0; p < panel_count; ++p) {
    for (int block = 0; block < blocks; ++block) {
      const int first = rows * block / blocks;
      const int count = rows * (block + 1) / blocks - first;
      const int call = p * blocks + block;
      const int first_line = next_lines * call / calls;
      kMultiplyFours[count - 1](
          a + static_cast<std::size_t>(first) * layout.row_stride, layout.row_stride, panels, k,
          c + static_cast<std::size_t>(first) * kPanelColumns,
          {reinterpret_cast<const char*>(next) + std::ptrdiff_t{64} * first_line,
           next_lines * (call + 1) / calls - first_line});
    }
    panels += static_cast<std::size_t>(k) * kPanelColumns;
    c += static_cast<std::size_t>(rows) * kPanelColumns;
  }
}

}  // namespace

const Kernels& avx512_vnni_kernels() {
  static const Kernels table = [] {
    Kernels kernels = kGenericKernels;  // which multiply pairs and add them in one instruction here
    kernels.multiply_int8 = multiply_int8_natively;
    return kernels;
  }();
  return table;
}

}  // namespace vitrine::encoder::cpu
