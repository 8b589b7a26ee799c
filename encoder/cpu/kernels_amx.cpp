#include <immintrin.h>

#include <type_traits>

#include "encoder/cpu/kernel_tables.h"

namespace vitrine::encoder::cpu {
namespace {

constexpr int kTileBytes = 64;  // of one tile row: the depth of one product
/// What the tile registers hold, as LDTILECFG reads it (Intel SDM, palette 1).
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// The intrinsic function tells GCC 12 of eight of the bytes only.
void load(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }

// Tiles 0 to 3: sums of the upper left, upper right, lower left and lower right 16 x 16 block; 4
// and 5: rows of a, upper and lower; 6 and 7: the panel, left and right.
void configure(int lower_rows) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    const bool lower = tile == 2 || tile == 3 || tile == 5;
    config.row_bytes[tile] = kTileBytes;
    config.rows[tile] = static_cast<std::uint8_t>(lower ? lower_rows : kTileRows);
  }
  load(config);
}

/// For multiply_few_rows(), which has another use for the tiles.
void configure_few_rows(int rows) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = kTileBytes;
    config.rows[tile] = static_cast<std::uint8_t>(tile < 7 ? rows : kTileRows);
  }
  load(config);
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

/// The left-hand side: a RowLayout in bytes.
struct Rows {
  const std::uint8_t* first;
  std::size_t row_stride;
  std::size_t line_stride;
  std::size_t group_stride;

  Rows from(int group) const {
    Rows rows = *this;
    rows.first += static_cast<std::size_t>(group) * group_stride;
    return rows;
  }
};

/// What will be needed next, fetched while products are made of something else.
struct Ahead {
  const std::uint8_t* line;
  int lines;
};

/// c = 17 to 32 rows of a times the panel. depth: bytes of a row of a. A tile is loaded anew as
/// soon as the last product that reads it is under way, so that loads and products overlap even
/// where a core's queues are shared by two threads. What is needed next is fetched from several
/// places at once, for the hardware then fetches ahead at each of them.
template <typename Sum, int kStreams>
void multiply_two_tiles(const Rows& a, const std::uint8_t* panel, int depth, Sum* c, Ahead next) {
  const int lines_a_stream = next.lines / kStreams;
  const int lines_a_step = (lines_a_stream * kTileBytes + depth - 1) / depth;
  const std::uint8_t* upper = a.first;
  const std::uint8_t* lower = a.first + a.group_stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, upper, a.row_stride);
  _tile_loadd(6, panel, kPanelRowBytes);
  _tile_loadd(7, panel + kTileBytes, kPanelRowBytes);
  _tile_loadd(5, lower, a.row_stride);
  for (int i = kTileBytes; i < depth; i += kTileBytes) {
    for (int line = 0; line < lines_a_step; ++line, next.line += kTileBytes) {
      for (int stream = 0; stream < kStreams; ++stream) {
        const std::ptrdiff_t first = std::ptrdiff_t{stream} * lines_a_stream * kTileBytes;
        _mm_prefetch(reinterpret_cast<const char*>(next.line + first), _MM_HINT_T1);
      }
    }
    panel += kTilePanelBytes;
    upper += a.line_stride;
    lower += a.line_stride;
    VITRINE_ADD_PRODUCT(0, 4, 6);
    VITRINE_ADD_PRODUCT(1, 4, 7);
    _tile_loadd(4, upper, a.row_stride);
    VITRINE_ADD_PRODUCT(2, 5, 6);
    _tile_loadd(6, panel, kPanelRowBytes);
    VITRINE_ADD_PRODUCT(3, 5, 7);
    _tile_loadd(5, lower, a.row_stride);
    _tile_loadd(7, panel + kTileBytes, kPanelRowBytes);
  }
  VITRINE_ADD_PRODUCT(0, 4, 6);
  VITRINE_ADD_PRODUCT(1, 4, 7);
  VITRINE_ADD_PRODUCT(2, 5, 6);
  VITRINE_ADD_PRODUCT(3, 5, 7);
  _tile_stored(0, c, kSumBytes);
  _tile_stored(1, c + 16, kSumBytes);
  Sum* lower_c = c + std::ptrdiff_t{kTileRows} * kPanelColumns;
  _tile_stored(2, lower_c, kSumBytes);
  _tile_stored(3, lower_c + 16, kSumBytes);
}

/// Few rows: reading the weights is the work. Several panels side by side are several streams of
/// memory, which the hardware prefetches deeper than one. Tiles 0 to 5 are sums, 6 the rows of a, 7
/// the panel. c_size: sums of a panel.
template <typename Sum, int kPanels>
void multiply_few_rows(Rows a, const std::uint8_t* panels, std::size_t panel_bytes, int depth,
                       Sum* c, std::size_t c_size) {
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
    _tile_loadd(6, a.first, a.row_stride);
    a.first += a.line_stride;
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

/// At most 16 rows, and any number of panels.
template <typename Sum>
void multiply_few_rows(const Rows& a, int rows, const std::uint8_t* panels, int panel_count,
                       int depth, Sum* c) {
  const std::size_t panel_bytes = static_cast<std::size_t>(depth) * kPanelColumns;
  const std::size_t c_size = static_cast<std::size_t>(rows) * kPanelColumns;
  configure_few_rows(rows);
  for (int p = 0; p < panel_count; p += 3) {
    const int count = panel_count - p < 3 ? panel_count - p : 3;
    const auto multiply = count == 1   ? multiply_few_rows<Sum, 1>
                          : count == 2 ? multiply_few_rows<Sum, 2>
                                       : multiply_few_rows<Sum, 3>;
    multiply(a, panels, panel_bytes, depth, c, c_size);
    panels += 3 * panel_bytes;
    c += 3 * c_size;
  }
}

/// One panel and more than 16 rows: pairs of tiles, then what is left of them.
template <typename Sum>
void multiply_panel(const Rows& a, int rows, const std::uint8_t* panel, int depth, Sum* c,
                    Ahead next) {
  constexpr int kPairRows = 2 * kTileRows;
  constexpr int kFewRows = 100;
  if (rows >= kPairRows) configure(kTileRows);
  for (int row = 0; row < rows; row += kPairRows) {
    const Rows pair = a.from(row / kTileRows);
    const int count = rows - row < kPairRows ? rows - row : kPairRows;
    Sum* sums = c + static_cast<std::ptrdiff_t>(row) * kPanelColumns;
    if (count <= kTileRows) {
      multiply_few_rows<Sum>(pair, count, panel, 1, depth, sums);
      continue;
    }
    if (count < kPairRows) configure(count - kTileRows);
    const int first_line = next.lines * row / rows;
    // The fewer the rows, the more memory is waited for.
    const auto multiply = rows > kFewRows ? multiply_two_tiles<Sum, 2> : multiply_two_tiles<Sum, 3>;
    multiply(pair, panel, depth, sums,
             {next.line + static_cast<std::ptrdiff_t>(first_line) * kTileBytes,
              next.lines * (row + count) / rows - first_line});
  }
}

template <typename Sum>
void multiply(const Rows& a, int rows, const std::uint8_t* panels, int panel_count, int depth,
              Sum* c, Ahead next) {
  if (rows <= kTileRows) {
    multiply_few_rows<Sum>(a, rows, panels, panel_count, depth, c);
  } else {
    for (int p = 0; p < panel_count; ++p) {
      const int first_line = next.lines * p / panel_count;
      multiply_panel<Sum>(a, rows, panels, depth, c,
                          {next.line + static_cast<std::ptrdiff_t>(first_line) * kTileBytes,
                           next.lines * (p + 1) / panel_count - first_line});
      panels += static_cast<std::size_t>(depth) * kPanelColumns;
      c += static_cast<std::ptrdiff_t>(rows) * kPanelColumns;
    }
  }
  _tile_release();  // so that a switch of threads need not save the tiles
}

template <typename Value>
Rows in_bytes(const Value* a, const RowLayout& layout) {
  constexpr std::size_t kSize = sizeof(Value);
  return {reinterpret_cast<const std::uint8_t*>(a), layout.row_stride * kSize,
          layout.line_stride * kSize, layout.group_stride * kSize};
}

const std::uint8_t* bytes(const void* values) { return static_cast<const std::uint8_t*>(values); }

void multiply_bf16(const BFloat16* a, const RowLayout& layout, int rows, const BFloat16* panels,
                   int panel_count, int k, float* c, const BFloat16* next, int next_lines) {
  multiply<float>(in_bytes(a, layout), rows, bytes(panels), panel_count,
                  k * static_cast<int>(sizeof(BFloat16)), c, {bytes(next), next_lines});
}

void multiply_int8(const std::uint8_t* a, const RowLayout& layout, int rows,
                   const std::int8_t* panels, int panel_count, int k, std::int32_t* c,
                   const std::int8_t* next, int next_lines) {
  multiply<std::int32_t>(in_bytes(a, layout), rows, bytes(panels), panel_count, k, c,
                         {bytes(next), next_lines});
}

}  // namespace

const Kernels& amx_kernels() {
  static const Kernels table = [] {
    Kernels kernels = avx512_bf16_kernels();
    kernels.multiply_bf16 = multiply_bf16;
    kernels.multiply_int8 = multiply_int8;
    kernels.tiles = true;
    return kernels;
  }();
  return table;
}

}  // namespace vitrine::encoder::cpu
