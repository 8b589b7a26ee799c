#include "encoder/image_webp.h"

#include <webp/decode.h>

#include <cstdint>

#include "base/error.h"
#include "encoder/image_bytes.h"

namespace vitrine::encoder {
namespace {

constexpr std::uint32_t kAlphaFlag = 0x10;
constexpr std::uint32_t kAnimationFlag = 0x02;

void append(std::string& bytes, std::uint64_t value, int count) {
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
}

/// chunks: what makes up the picture, such as ALPH and VP8.
std::string still_webp(std::uint32_t width, std::uint32_t height, std::string_view chunks) {
  constexpr std::uint64_t extended_header = 10;
  std::string file = "RIFF";
  append(file, 4 + 8 + extended_header + chunks.size(), 4);
  file += "WEBPVP8X";
  append(file, extended_header, 4);
  append(file, kAlphaFlag, 4);
  append(file, width - 1, 3);
  append(file, height - 1, 3);
  file += chunks;
  return file;
}

}  // namespace

void decode_still_webp(std::string_view file, int height, int width, WebpSamples samples,
                       std::span<std::uint8_t> pixels) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(file.data());
  int real_width = 0;
  int real_height = 0;
  if (WebPGetInfo(bytes, file.size(), &real_width, &real_height) == 0) {
    throw damaged_image("the decoder refuses it");
  }
  if (real_width != width || real_height != height) {
    throw damaged_image("a WebP with contradicting sizes");
  }
  const int stride = width * static_cast<int>(samples);
  if (pixels.size() != static_cast<std::size_t>(stride) * static_cast<std::size_t>(height)) {
    throw internal_error("no room for the pixels of a WebP");
  }
  const auto decode = samples == WebpSamples::kRgb ? WebPDecodeRGBInto : WebPDecodeBGRAInto;
  if (decode(bytes, file.size(), pixels.data(), pixels.size(), stride) == nullptr) {
    throw damaged_image("the decoder refuses it");
  }
}

std::optional<WebpFrame> first_webp_frame(std::string_view bytes) {
  const ImageBytes reader(bytes, false);
  if (!reader.has(12, "VP8X") || (reader.u8(20) & kAnimationFlag) == 0) return std::nullopt;
  std::uint64_t at = 12;
  while (!reader.has(at, "ANMF")) {
    const std::uint64_t length = reader.u32(at + 4);
    at += 8 + length + length % 2;
  }
  constexpr std::uint64_t frame_header = 16;
  const std::uint64_t length = reader.u32(at + 4);
  const std::uint64_t frame = at + 8;
  if (length < frame_header) throw damaged_image("a WebP with a frame that is too short");
  const std::uint32_t left = reader.u24(frame) * 2;
  const std::uint32_t top = reader.u24(frame + 3) * 2;
  const std::uint32_t width = reader.u24(frame + 6) + 1;
  const std::uint32_t height = reader.u24(frame + 9) + 1;
  if (left + width > reader.u24(24) + 1 || top + height > reader.u24(27) + 1) {
    throw damaged_image("a WebP with a frame beyond its canvas");
  }
  return WebpFrame{
      static_cast<int>(left), static_cast<int>(top), static_cast<int>(width),
      static_cast<int>(height),
      still_webp(width, height, reader.range(frame + frame_header, length - frame_header))};
}

}  // namespace vitrine::encoder
