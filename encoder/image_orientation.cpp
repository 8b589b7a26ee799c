#include "encoder/image_orientation.h"

#include <cstdint>

#include "base/error.h"
#include "encoder/image_bytes.h"

namespace vitrine::encoder {
namespace {

constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr std::uint32_t kShort = 3;
constexpr std::uint32_t kTiffMagic = 42;

/// The orientation in the first directory, whatever its value; 0 when there is none.
std::uint32_t find_orientation(std::string_view exif) {
  const bool big_endian = exif.starts_with("MM");
  if (!big_endian && !exif.starts_with("II")) return 0;
  const ImageBytes reader(exif, big_endian);
  if (reader.u16(2) != kTiffMagic) return 0;
  const std::uint64_t directory = reader.u32(4);
  const std::uint32_t entries = reader.u16(directory);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::uint64_t at = directory + 2 + 12ULL * i;
    if (reader.u16(at) != kOrientationTag) continue;
    return reader.u16(at + 2) == kShort && reader.u32(at + 4) == 1 ? reader.u16(at + 8) : 0;
  }
  return 0;
}

}  // namespace

Orientation read_orientation(std::string_view bytes, const ImageHeader& header) {
  try {
    const std::uint32_t found = find_orientation(find_exif(bytes, header));
    return found >= 1 && found <= 8 ? static_cast<Orientation>(found) : kUpright;
  } catch (const Error&) {  // it ends in the middle
    return kUpright;
  }
}

}  // namespace vitrine::encoder
