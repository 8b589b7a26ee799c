#include "encoder/image_tiff.h"

#include <libdeflate.h>
#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>

#include "encoder/image_bytes.h"
#include "encoder/image_jpeg.h"

namespace vitrine::encoder {
namespace {

/// Four samples of 64 bits: nothing larger is read.
constexpr std::uint64_t kMaxPixelBytes = 32;
/// What a codec needs whatever the size of the picture: LZW's table is 80 KB.
constexpr tmsize_t kMaxTableBytes = 1 << 20;

/// A file in memory, as libtiff reads it.
struct Source {
  std::string_view bytes;
  std::uint64_t at = 0;
};

tmsize_t read_source(thandle_t handle, void* target, tmsize_t count) {
  auto& source = *static_cast<Source*>(handle);
  if (count <= 0 || source.at >= source.bytes.size()) return 0;
  const std::string_view found = source.bytes.substr(source.at, static_cast<std::size_t>(count));
  std::memcpy(target, found.data(), found.size());
  source.at += found.size();
  return static_cast<tmsize_t>(found.size());
}

tmsize_t write_source(thandle_t, void*, tmsize_t) { return -1; }

toff_t seek_source(thandle_t handle, toff_t offset, int whence) {
  auto& source = *static_cast<Source*>(handle);
  if (whence == SEEK_CUR) offset += source.at;
  if (whence == SEEK_END) offset += source.bytes.size();
  return source.at = offset;
}

int close_source(thandle_t) { return 0; }

toff_t size_of_source(thandle_t handle) { return static_cast<Source*>(handle)->bytes.size(); }

/// The first damage that libtiff tells of; empty when there is none.
struct Complaint {
  bool made() const { return text[0] != '\0'; }

  std::array<char, 256> text{};
};

/// Each handler's answer: libtiff need tell nobody else.
constexpr int kHandled = 1;

int note_error(TIFF*, void* user_data, const char*, const char* format, va_list values) {
  Complaint& complaint = *static_cast<Complaint*>(user_data);
  if (!complaint.made()) {
    std::vsnprintf(complaint.text.data(), complaint.text.size(), format, values);
  }
  return kHandled;
}

/// Warnings after which some of the picture is made up.
bool is_damage(std::string_view warning) {
  return warning.starts_with("Premature EOF") ||  // a fax without its last rows
         tells_of_jpeg_damage(warning);
}

int note_warning(TIFF*, void* user_data, const char*, const char* format, va_list values) {
  Complaint warning;
  std::vsnprintf(warning.text.data(), warning.text.size(), format, values);
  Complaint& complaint = *static_cast<Complaint*>(user_data);
  if (!complaint.made() && is_damage(warning.text.data())) complaint = warning;
  return kHandled;
}

[[noreturn]] void refuse(const Complaint& complaint) {
  throw damaged_image(complaint.made() ? complaint.text.data() : "the decoder refuses it");
}

using Tiff = std::unique_ptr<TIFF, decltype(&TIFFClose)>;

/// most: bytes of a single allocation. Handlers of its own, for libtiff's others are the process's.
Tiff open_tiff(Source& source, Complaint& complaint, tmsize_t most) {
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(
      TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
  if (options == nullptr) throw std::bad_alloc();
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), most);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), note_error, &complaint);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), note_warning, &complaint);
  Tiff tiff(TIFFClientOpenExt("", "r", &source, read_source, write_source, seek_source,
                              close_source, size_of_source, nullptr, nullptr, options.get()),
            TIFFClose);
  if (tiff == nullptr) refuse(complaint);
  return tiff;
}

template <typename Value>
Value field(TIFF* tiff, std::uint32_t tag, Value fallback) {
  Value value{};
  return TIFFGetFieldDefaulted(tiff, tag, &value) == 1 ? value : fallback;
}

/// Reads deflate's checksum, which lies behind the last byte of a strip or tile: libtiff does not
/// get there when damage has made it longer.
class DeflateCheck {
 public:
  DeflateCheck() {
    if (decompressor_ == nullptr) throw std::bad_alloc();
  }

  /// room: of a whole strip or tile; what is in it is overwritten.
  void check(std::string_view compressed, std::span<std::uint8_t> room) {
    std::size_t size = 0;
    if (libdeflate_zlib_decompress(decompressor_.get(), compressed.data(), compressed.size(),
                                   room.data(), room.size(), &size) != LIBDEFLATE_SUCCESS) {
      throw damaged_image("a TIFF whose compressed data fails its checksum");
    }
  }

 private:
  std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> decompressor_{
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor};
};

/// How the first page is cut into strips or tiles.
struct Layout {
  explicit Layout(TIFF* tiff)
      : tiled(TIFFIsTiled(tiff) != 0),
        planar(field<std::uint16_t>(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) ==
               PLANARCONFIG_SEPARATE),
        compression(field<std::uint16_t>(tiff, TIFFTAG_COMPRESSION, COMPRESSION_NONE)),
        width(field<std::uint32_t>(tiff, TIFFTAG_IMAGEWIDTH, 0)),
        height(field<std::uint32_t>(tiff, TIFFTAG_IMAGELENGTH, 0)),
        columns(tiled ? field<std::uint32_t>(tiff, TIFFTAG_TILEWIDTH, 0) : width),
        rows(field<std::uint32_t>(tiff, tiled ? TIFFTAG_TILELENGTH : TIFFTAG_ROWSPERSTRIP, 0)),
        planes(planar ? field<std::uint16_t>(tiff, TIFFTAG_SAMPLESPERPIXEL, 1) : 1) {}

  bool tiled;
  bool planar;  ///< each sample has strips or tiles of its own
  std::uint16_t compression;
  std::uint32_t width, height;  ///< of the picture
  std::uint32_t columns, rows;  ///< of a tile or strip
  std::uint16_t planes;
};

/// Calls visit(number of the strip or tile) for all that OpenCV reads: of several layers the first.
template <typename Visit>
void visit_parts(TIFF* tiff, const Layout& layout, Visit visit) {
  for (std::uint16_t plane = 0; plane < layout.planes; ++plane) {
    for (std::uint64_t y = 0; y < layout.height; y += layout.rows) {
      const auto row = static_cast<std::uint32_t>(y);
      for (std::uint64_t x = 0; x < layout.width; x += layout.columns) {
        visit(layout.tiled ? TIFFComputeTile(tiff, static_cast<std::uint32_t>(x), row, 0, plane)
                           : TIFFComputeStrip(tiff, row, plane));
      }
    }
  }
}

bool has_checksums(TIFF* tiff, const Layout& layout) {
  // The bytes of the other order of bits are not deflate's as they lie there; nobody writes them.
  return (layout.compression == COMPRESSION_ADOBE_DEFLATE ||
          layout.compression == COMPRESSION_DEFLATE) &&
         field<std::uint16_t>(tiff, TIFFTAG_FILLORDER, FILLORDER_MSB2LSB) == FILLORDER_MSB2LSB;
}

}  // namespace

void check_tiff(std::string_view bytes, const ImageHeader& header) {
  Source source{bytes};
  Complaint complaint;
  const auto most = static_cast<tmsize_t>(header.pixels * kMaxPixelBytes);
  const Tiff owner =
      open_tiff(source, complaint, most + static_cast<tmsize_t>(bytes.size()) + kMaxTableBytes);
  TIFF* const tiff = owner.get();
  complaint = {};  // a page that opens in spite of it is a page to Pillow as well

  const Layout layout(tiff);
  // As OpenCV and Pillow read it; the samples would be subsampled otherwise.
  if (layout.compression == COMPRESSION_JPEG && !layout.planar &&
      field<std::uint16_t>(tiff, TIFFTAG_PHOTOMETRIC, 0) == PHOTOMETRIC_YCBCR) {
    TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  }
  const tmsize_t size = layout.tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff);
  if (layout.columns == 0 || layout.rows == 0 || size <= 0) refuse(complaint);
  if (size > most) {
    throw damaged_image("a TIFF of strips or tiles that are larger than its sizes allow");
  }
  // Some strips hold all rows that a strip may have, even where the picture has fewer.
  const tmsize_t room =
      layout.tiled ? size : std::clamp(TIFFVStripSize(tiff, layout.rows), size, most);
  const auto samples = std::make_unique_for_overwrite<std::uint8_t[]>(room);
  const auto read = layout.tiled ? TIFFReadEncodedTile : TIFFReadEncodedStrip;
  std::optional<DeflateCheck> deflate;
  if (has_checksums(tiff, layout)) deflate.emplace();
  visit_parts(tiff, layout, [&](std::uint32_t part) {
    if (read(tiff, part, samples.get(), size) < 0 || complaint.made()) refuse(complaint);
    if (!deflate) return;
    const std::uint64_t at = std::min<std::uint64_t>(TIFFGetStrileOffset(tiff, part), bytes.size());
    deflate->check(bytes.substr(at, TIFFGetStrileByteCount(tiff, part)),
                   {samples.get(), static_cast<std::size_t>(room)});
  });
}

}  // namespace vitrine::encoder
