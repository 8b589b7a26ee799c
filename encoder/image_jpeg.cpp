#include "encoder/image_jpeg.h"

#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <vector>
// jpeglib.h needs the standard headers above, jerror.h needs jpeglib.h.
#include <jpeglib.h>
//
#include <jerror.h>

#include "base/error.h"
#include "encoder/image_bytes.h"

namespace vitrine::encoder {
namespace {

/// Each scan may take the time of a whole decoding, whatever its size; cameras and encoders write
/// about ten.
constexpr int kMaxScans = 100;

/// Warnings after which some of the picture is made up.
bool is_damage(int warning) {
  switch (warning) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      return true;
    default:  // junk between segments, unknown revisions: the picture is whole
      return false;
  }
}

/// libjpeg's decompressor, whose errors become exceptions.
class Decompressor {
 public:
  Decompressor() {
    info_.err = jpeg_std_error(&errors_.manager);
    errors_.manager.error_exit = leave;
    errors_.manager.emit_message = judge;
    progress_.progress_monitor = count_scans;
    run([](jpeg_decompress_struct& info) { jpeg_create_decompress(&info); });
    info_.progress = &progress_;
  }
  ~Decompressor() { jpeg_destroy_decompress(&info_); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  const jpeg_decompress_struct& info() const { return info_; }

  /// Calls libjpeg. The call is left in the middle when libjpeg fails: it may own nothing.
  template <typename Call>
  void run(Call call) {
    if (setjmp(errors_.escape) != 0) fail();
    call(info_);
  }

 private:
  struct Errors {
    jpeg_error_mgr manager;  // first: libjpeg's pointer to it is a pointer to this struct
    std::jmp_buf escape;
    const char* reason = nullptr;  // why it was left, when libjpeg itself has no words for it
  };

  [[noreturn]] static void leave(j_common_ptr info) {
    std::longjmp(reinterpret_cast<Errors*>(info->err)->escape, 1);
  }

  static void judge(j_common_ptr info, int level) {
    if (level < 0 && is_damage(info->err->msg_code)) leave(info);
  }

  static void count_scans(j_common_ptr info) {
    if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) {
      reinterpret_cast<Errors*>(info->err)->reason = "a JPEG of too many scans";
      leave(info);
    }
  }

  [[noreturn]] void fail() {
    if (errors_.reason != nullptr) throw damaged_image(errors_.reason);
    if (errors_.manager.msg_code == JERR_OUT_OF_MEMORY) {
      throw resource_exhausted("no memory for the image");
    }
    std::array<char, JMSG_LENGTH_MAX> message{};
    errors_.manager.format_message(reinterpret_cast<j_common_ptr>(&info_), message.data());
    throw damaged_image(message.data());
  }

  Errors errors_{};
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct info_{};
};

/// round(a * b / 255), as Pillow computes it.
int multiply(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/// Every program that writes CMYK into a JPEG inverts it, as Adobe's do.
void inverted_cmyk_to_rgb(const std::uint8_t* cmyk, std::size_t pixels, std::uint8_t* rgb) {
  for (std::size_t i = 0; i < pixels; ++i) {
    const int light = cmyk[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      rgb[3 * i + c] = static_cast<std::uint8_t>(light - multiply(255 - cmyk[4 * i + c], light));
    }
  }
}

}  // namespace

Image decode_jpeg(std::string_view bytes, const ImageHeader& header) {
  Decompressor jpeg;
  jpeg.run([&](jpeg_decompress_struct& info) {
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&info, TRUE);
  });
  // The limits have been applied to what the header was found to say, and hold for nothing else.
  if (jpeg.info().image_width != header.width || jpeg.info().image_height != header.height) {
    throw damaged_image("a JPEG with contradicting sizes");
  }
  const bool cmyk = jpeg.info().num_components == 4;
  jpeg.run([&](jpeg_decompress_struct& info) {
    info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info);
  });

  Image image;
  image.width = static_cast<int>(header.width);
  image.height = static_cast<int>(header.height);
  const std::size_t stride = header.width * 3;
  image.rgb.resize(header.height * stride);
  std::vector<std::uint8_t> cmyk_row(cmyk ? header.width * 4 : 0);
  jpeg.run([&](jpeg_decompress_struct& info) {
    while (info.output_scanline < info.output_height) {
      std::uint8_t* target = image.rgb.data() + info.output_scanline * stride;
      JSAMPROW row = cmyk ? cmyk_row.data() : target;
      jpeg_read_scanlines(&info, &row, 1);
      if (cmyk) inverted_cmyk_to_rgb(cmyk_row.data(), header.width, target);
    }
    jpeg_finish_decompress(&info);  // reads to the end, so that a missing one is found
  });
  return image;
}

bool tells_of_jpeg_damage(std::string_view warning) {
  jpeg_error_mgr errors{};
  jpeg_std_error(&errors);
  for (int code = 0; code <= errors.last_jpeg_message; ++code) {
    if (!is_damage(code)) continue;
    const std::string_view words = errors.jpeg_message_table[code];
    if (warning.starts_with(words.substr(0, words.find('%')))) return true;
  }
  return false;
}

}  // namespace vitrine::encoder
