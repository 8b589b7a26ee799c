#include <immintrin.h>

#include <type_traits>

#include "encoder/cpu/kernel_tables.h"

namespace vitrine::encoder::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileBytes = 64;  // of one tile row: the depth of one product

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

// In bytes, panels of both types have one layout.
constexpr std::size_t kPanelRowBytes = 128;  // of a panel's pairs or fours
constexpr std::size_t kTilePanelBytes = kTileRows * kPanelRowBytes;
constexpr std::size_t kSumBytes = kPanelColumns * 4;  // of a row

/// tile `sum` += tile `rows` * tile `panel`; numbers of tiles must be literals.
#define VITRINE_ADD_PRODUCT(sum, rows, panel)   \
  do {                                          \
    if constexpr (std::is_same_v<Sum, float>) { \
      _tile_dpbf16ps(sum, rows, panel);         \
    } else {                                    \
      _tile_dpbusd(sum, rows, panel);           \
    }                                           \
  } while (false)

// The functions below are the same for bfloat16, whose sums are float, and for 8-bit numbers, whose
// sums are std::int32_t.

/// depth: bytes of a row of a. A tile is loaded anew as soon as the last product that reads it is
/// under way, so that loads and products overlap even where a core's queues are shared by two
/// threads.
template <typename Sum>
void multiply_two_tiles(const std::uint8_t* a, std::size_t a_stride, int upper_rows,
                        const std::uint8_t* panel, int depth, Sum* c, const std::uint8_t* next,
                        int next_lines) {
  const int lines_a_step = (next_lines * kTileBytes + depth - 1) / depth;
  const std::uint8_t* lower = a + static_cast<std::size_t>(upper_rows) * a_stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, a, a_stride);
  _tile_loadd(6, panel, kPanelRowBytes);
  _tile_loadd(7, panel + kTileBytes, kPanelRowBytes);
  _tile_loadd(5, lower, a_stride);
  for (int i = kTileBytes; i < depth; i += kTileBytes) {
    for (int line = 0; line < lines_a_step; ++line, next += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    }
    panel += kTilePanelBytes;
    VITRINE_ADD_PRODUCT(0, 4, 6);
    VITRINE_ADD_PRODUCT(1, 4, 7);
    _tile_loadd(4, a + i, a_stride);
    VITRINE_ADD_PRODUCT(2, 5, 6);
    _tile_loadd(6, panel, kPanelRowBytes);
    VITRINE_ADD_PRODUCT(3, 5, 7);
    _tile_loadd(5, lower + i, a_stride);
    _tile_loadd(7, panel + kTileBytes, kPanelRowBytes);
  }
  VITRINE_ADD_PRODUCT(0, 4, 6);
  VITRINE_ADD_PRODUCT(1, 4, 7);
  VITRINE_ADD_PRODUCT(2, 5, 6);
  VITRINE_ADD_PRODUCT(3, 5, 7);
  Sum* lower_c = c + static_cast<std::size_t>(upper_rows) * kPanelColumns;
  _tile_stored(0, c, kSumBytes);
  _tile_stored(1, c + 16, kSumBytes);
  _tile_stored(2, lower_c, kSumBytes);
  _tile_stored(3, lower_c + 16, kSumBytes);
}

/// Few rows: reading the weights is the work. Several panels side by side are several streams of
/// memory, which the hardware prefetches deeper than one. Tiles 0 to 5 are sums, 6 the rows of a, 7
/// the panel. c_size: sums of a panel.
template <typename Sum, int kPanels>
void multiply_few_rows(const std::uint8_t* a, std::size_t a_stride, const std::uint8_t* panels,
                       std::size_t panel_bytes, int depth, Sum* c, std::size_t c_size) {
  constexpr std::size_t kAhead = 2 * kTilePanelBytes;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int i = 0; i < depth; i += kTileBytes) {
    const std::uint8_t* second = panels + panel_bytes;
    const std::uint8_t* third = second + panel_bytes;
    for (std::size_t line = kAhead; line < kAhead + kTilePanelBytes; line += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(panels + line), _MM_HINT_T0);
      if (kPanels > 1) {
        _mm_prefetch(reinterpret_cast<const char*>(second + line), _MM_HINT_T0);
      }
      if (kPanels > 2) {
        _mm_prefetch(reinterpret_cast<const char*>(third + line), _MM_HINT_T0);
      }
    }
    _tile_loadd(6, a + i, a_stride);
    _tile_loadd(7, panels, kPanelRowBytes);
    VITRINE_ADD_PRODUCT(0, 6, 7);
    _tile_loadd(7, panels + kTileBytes, kPanelRowBytes);
    VITRINE_ADD_PRODUCT(1, 6, 7);
    if constexpr (kPanels > 1) {
      _tile_loadd(7, second, kPanelRowBytes);
      VITRINE_ADD_PRODUCT(2, 6, 7);
      _tile_loadd(7, second + kTileBytes, kPanelRowBytes);
      VITRINE_ADD_PRODUCT(3, 6, 7);
    }
    if constexpr (kPanels > 2) {
      _tile_loadd(7, third, kPanelRowBytes);
      VITRINE_ADD_PRODUCT(4, 6, 7);
      _tile_loadd(7, third + kTileBytes, kPanelRowBytes);
      VITRINE_ADD_PRODUCT(5, 6, 7);
    }
    panels += kTilePanelBytes;
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

template <typename Sum>
void multiply(const std::uint8_t* a, std::size_t a_stride, int rows, const std::uint8_t* panels,
              int panel_count, int depth, Sum* c, const std::uint8_t* next, int next_lines) {
  const std::size_t panel_bytes = static_cast<std::size_t>(depth) * kPanelColumns;
  const std::size_t c_size = static_cast<std::size_t>(rows) * kPanelColumns;
  if (rows <= kTileRows) configure_few_rows(rows);
  for (int p = 0; p < panel_count;) {
    const std::uint8_t* panel = panels + static_cast<std::size_t>(p) * panel_bytes;
    Sum* sums = c + static_cast<std::size_t>(p) * c_size;
    if (rows <= kTileRows) {
      const int count = panel_count - p < 3 ? panel_count - p : 3;
      const auto few_rows = count == 1   ? multiply_few_rows<Sum, 1>
                            : count == 2 ? multiply_few_rows<Sum, 2>
                                         : multiply_few_rows<Sum, 3>;
      few_rows(a, a_stride, panel, panel_bytes, depth, sums, c_size);
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
      multiply_two_tiles<Sum>(a + static_cast<std::size_t>(row) * a_stride, a_stride, upper, panel,
                              depth, sums + static_cast<std::size_t>(row) * kPanelColumns,
                              next + static_cast<std::ptrdiff_t>(first_line) * 64,
                              next_lines * (block + 1) / blocks - first_line);
    }
    ++p;
  }
  _tile_release();  // so that a switch of threads need not save the tiles
}

const std::uint8_t* bytes(const void* values) { return static_cast<const std::uint8_t*>(values); }

void multiply_bf16(const BFloat16* a, std::size_t a_stride, int rows, const BFloat16* panels,
                   int panel_count, int k, float* c, const BFloat16* next, int next_lines) {
  multiply<float>(bytes(a), a_stride * sizeof(BFloat16), rows, bytes(panels), panel_count,
                  k * static_cast<int>(sizeof(BFloat16)), c, bytes(next), next_lines);
}

void multiply_int8(const std::uint8_t* a, std::size_t a_stride, int rows, const std::int8_t* panels,
                   int panel_count, int k, std::int32_t* c, const std::int8_t* next,
                   int next_lines) {
  multiply<std::int32_t>(a, a_stride, rows, bytes(panels), panel_count, k, c, bytes(next),
                         next_lines);
}

}  // namespace

const Kernels& amx_kernels() {
  static const Kernels table = [] {
    Kernels kernels = avx512_bf16_kernels();
    kernels.multiply_bf16 = multiply_bf16;
    kernels.multiply_int8 = multiply_int8;
    return kernels;
  }();
  return table;
}

}  // namespace vitrine::encoder::cpu
