#include <immintrin.h>

#include "encoder/cpu/kernel_tables.h"

namespace vitrine::encoder::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileDepth = 32;  // bfloat16 values of one tile row

/// What the tile registers hold, as LDTILECFG reads it (Intel SDM, palette 1).
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// Tiles 0 to 3: sums of the upper left, upper right, lower left and lower right 16 x 16 block; 4
// and 5: rows of a, upper and lower; 6 and 7: the panel, left and right.
void configure(int upper_rows, int lower_rows) {
  TileConfig config;
  const int rows[8] = {upper_rows, upper_rows, lower_rows, lower_rows,
                       upper_rows, lower_rows, kTileRows,  kTileRows};
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = rows[tile] > 0 ? 64 : 0;
    config.rows[tile] = static_cast<std::uint8_t>(rows[tile]);
  }
  _tile_loadconfig(&config);
}

/// For multiply_few_rows(), which has another use for the tiles.
void configure_few_rows(int rows) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = static_cast<std::uint8_t>(tile < 7 ? rows : kTileRows);
  }
  _tile_loadconfig(&config);
}

constexpr std::size_t kPanelBytes = std::size_t{2} * kPanelColumns * sizeof(BFloat16);  // of a pair
constexpr std::size_t kSumBytes = kPanelColumns * sizeof(float);                        // of a row

/// A tile is loaded anew as soon as the last product that reads it is under way, so that loads and
/// products overlap even where a core's queues are shared by two threads.
void multiply_two_tiles(const BFloat16* a, std::size_t a_stride, int upper_rows,
                        const BFloat16* panel, int k, float* c, const BFloat16* next,
                        int next_lines) {
  constexpr int kLine = 64 / sizeof(BFloat16);
  const int lines_a_step = (next_lines * kTileDepth + k - 1) / k;
  const std::size_t a_bytes = a_stride * sizeof(BFloat16);
  const BFloat16* lower = a + static_cast<std::size_t>(upper_rows) * a_stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, a, a_bytes);
  _tile_loadd(6, panel, kPanelBytes);
  _tile_loadd(7, panel + kPanelColumns, kPanelBytes);
  _tile_loadd(5, lower, a_bytes);
  for (int i = kTileDepth; i < k; i += kTileDepth) {
    for (int line = 0; line < lines_a_step; ++line, next += kLine) {
      _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    }
    panel += std::size_t{kTileDepth} * kPanelColumns;
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(4, a + i, a_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_loadd(6, panel, kPanelBytes);
    _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(5, lower + i, a_bytes);
    _tile_loadd(7, panel + kPanelColumns, kPanelBytes);
  }
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
  float* lower_c = c + static_cast<std::size_t>(upper_rows) * kPanelColumns;
  _tile_stored(0, c, kSumBytes);
  _tile_stored(1, c + 16, kSumBytes);
  _tile_stored(2, lower_c, kSumBytes);
  _tile_stored(3, lower_c + 16, kSumBytes);
}

/// Few rows: reading the weights is the work. Several panels side by side are several streams of
/// memory, which the hardware prefetches deeper than one. Tiles 0 to 5 are sums, 6 the rows of a, 7
/// the panel.
template <int kPanels>
void multiply_few_rows(const BFloat16* a, std::size_t a_stride, const BFloat16* panels,
                       std::size_t panel_size, int k, float* c, std::size_t c_size) {
  constexpr int kAhead = 2 * kTileDepth * kPanelColumns;  // values that are prefetched ahead
  const std::size_t a_bytes = a_stride * sizeof(BFloat16);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int i = 0; i < k; i += kTileDepth) {
    const BFloat16* second = panels + panel_size;
    const BFloat16* third = second + panel_size;
    for (int line = 0; line < kTileDepth * kPanelColumns; line += 32) {
      _mm_prefetch(reinterpret_cast<const char*>(panels + kAhead + line), _MM_HINT_T0);
      if (kPanels > 1) {
        _mm_prefetch(reinterpret_cast<const char*>(second + kAhead + line), _MM_HINT_T0);
      }
      if (kPanels > 2) {
        _mm_prefetch(reinterpret_cast<const char*>(third + kAhead + line), _MM_HINT_T0);
      }
    }
    _tile_loadd(6, a + i, a_bytes);
    _tile_loadd(7, panels, kPanelBytes);
    _tile_dpbf16ps(0, 6, 7);
    _tile_loadd(7, panels + kPanelColumns, kPanelBytes);
    _tile_dpbf16ps(1, 6, 7);
    if constexpr (kPanels > 1) {
      _tile_loadd(7, second, kPanelBytes);
      _tile_dpbf16ps(2, 6, 7);
      _tile_loadd(7, second + kPanelColumns, kPanelBytes);
      _tile_dpbf16ps(3, 6, 7);
    }
    if constexpr (kPanels > 2) {
      _tile_loadd(7, third, kPanelBytes);
      _tile_dpbf16ps(4, 6, 7);
      _tile_loadd(7, third + kPanelColumns, kPanelBytes);
      _tile_dpbf16ps(5, 6, 7);
    }
    panels += std::size_t{kTileDepth} * kPanelColumns;
  }
  _tile_stored(0, c, kSumBytes);
  _tile_stored(1, c + 16, kSumBytes);
  if constexpr (kPanels > 1) {
    _tile_stored(2, c + c_size, kSumBytes);
    _tile_stored(3, c + c_size + 16, kSumBytes);
  }
  if constexpr (kPanels > 2) {
    _tile_stored(4, c + 2 * c_size, kSumBytes);
    _tile_stored(5, c + 2 * c_size + 16, kSumBytes);
  }
}

void multiply_bf16(const BFloat16* a, std::size_t a_stride, int rows, const BFloat16* panels,
                   int panel_count, int k, float* c, const BFloat16* next, int next_lines) {
  const std::size_t panel_size = static_cast<std::size_t>(k) * kPanelColumns;
  const std::size_t c_size = static_cast<std::size_t>(rows) * kPanelColumns;
  if (rows <= kTileRows) configure_few_rows(rows);
  for (int p = 0; p < panel_count;) {
    const BFloat16* panel = panels + static_cast<std::size_t>(p) * panel_size;
    float* sums = c + static_cast<std::size_t>(p) * c_size;
    if (rows <= kTileRows) {
      const int count = panel_count - p < 3 ? panel_count - p : 3;
      const auto multiply = count == 1   ? multiply_few_rows<1>
                            : count == 2 ? multiply_few_rows<2>
                                         : multiply_few_rows<3>;
      multiply(a, a_stride, panel, panel_size, k, sums, c_size);
      p += count;
      continue;
    }
    const int blocks = (rows + 2 * kTileRows - 1) / (2 * kTileRows);
    for (int block = 0; block < blocks; ++block) {
      const int row = rows * block / blocks;
      const int count = rows * (block + 1) / blocks - row;
      const int upper = (count + 1) / 2;
      configure(upper, count - upper);
      const int first_line = next_lines * block / blocks;
      multiply_two_tiles(a + static_cast<std::size_t>(row) * a_stride, a_stride, upper, panel, k,
                         sums + static_cast<std::size_t>(row) * kPanelColumns,
                         next + static_cast<std::ptrdiff_t>(first_line) * 32,
                         next_lines * (block + 1) / blocks - first_line);
    }
    ++p;
  }
  _tile_release();  // so that a switch of threads need not save the tiles
}

}  // namespace

const Kernels& amx_kernels() {
  static const Kernels table = [] {
    Kernels kernels = avx512_kernels();
    kernels.multiply_bf16 = multiply_bf16;
    return kernels;
  }();
  return table;
}

}  // namespace vitrine::encoder::cpu
