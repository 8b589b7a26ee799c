// Speed of the image stages: the files of a folder, decoded, resized and normalised, one thread.
// VITRINE_BENCH_IMAGES names the folder.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
// jpeglib.h needs FILE and size_t declared before it.
#include <jpeglib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/instruction_set.h"
#include "encoder/image_decoder.h"
#include "encoder/image_processor.h"
#include "encoder/image_resample.h"

namespace vitrine::encoder {
namespace {

constexpr std::uint64_t kMaxFileBytes = 64 << 20;
constexpr std::size_t kCrop = 224;

const std::vector<std::string>& files() {
  static const std::vector<std::string> contents = [] {
    const char* given = std::getenv("VITRINE_BENCH_IMAGES");
    const std::filesystem::path folder = given == nullptr ? VITRINE_BENCH_IMAGES : given;
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    std::vector<std::string> bytes;
    for (const auto& path : paths) bytes.push_back(read_file(path, kMaxFileBytes));
    return bytes;
  }();
  return contents;
}

const std::vector<Image>& images() {
  static const std::vector<Image> decoded = [] {
    std::vector<Image> result;
    for (const std::string& bytes : files()) result.push_back(decode_image(bytes));
    return result;
  }();
  return decoded;
}

/// CLIP's own: the shortest edge to 224 pixels, the middle 224 x 224.
const ImageProcessor& processor() {
  static const ImageProcessor clip = [] {
    const TemporaryDirectory folder;
    std::ofstream(folder.path() / "preprocessor_config.json") << "{}";
    return ImageProcessor::load(folder.path());
  }();
  return clip;
}

/// Runs stage(i), which returns the bytes it read, over all files again and again.
template <typename Stage>
void over_files(benchmark::State& state, Stage stage) {
  const std::size_t count = files().size();
  std::size_t i = 0;
  std::size_t bytes = 0;
  for (auto _ : state) {
    bytes += stage(i);
    i = (i + 1) % count;
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}

void decode(benchmark::State& state) {
  over_files(state, [](std::size_t i) {
    benchmark::DoNotOptimize(decode_image(files()[i]));
    return files()[i].size();
  });
}

/// What decode() is measured against: libjpeg-turbo alone, into memory that is there already.
/// For folders of JPEG files only.
void decode_libjpeg(benchmark::State& state) {
  std::vector<std::uint8_t> rgb;
  over_files(state, [&](std::size_t i) {
    jpeg_decompress_struct info{};
    jpeg_error_mgr errors{};
    info.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(files()[i].data()),
                 files()[i].size());
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    const std::size_t stride = std::size_t{info.output_width} * 3;
    rgb.resize(std::max(rgb.size(), stride * info.output_height));
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = rgb.data() + info.output_scanline * stride;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return files()[i].size();
  });
}

void decode_opencv(benchmark::State& state) {
  over_files(state, [](std::size_t i) {
    const cv::Mat encoded(1, static_cast<int>(files()[i].size()), CV_8UC1,
                          const_cast<char*>(files()[i].data()));
    benchmark::DoNotOptimize(cv::imdecode(encoded, cv::IMREAD_COLOR));
    return files()[i].size();
  });
}

void resize(benchmark::State& state) {
  const auto instruction_set = static_cast<InstructionSet>(state.range(0));
  std::vector<std::uint8_t> target(kCrop * kCrop * 3);
  static_cast<void>(images());
  over_files(state, [&](std::size_t i) {
    const Image& image = images()[i];
    const auto height = static_cast<std::size_t>(image.height);
    const auto width = static_cast<std::size_t>(image.width);
    ResizedRegion region;
    region.full_height = height < width ? kCrop : kCrop * height / width;
    region.full_width = height < width ? kCrop * width / height : kCrop;
    region.top = (region.full_height - kCrop) / 2;
    region.left = (region.full_width - kCrop) / 2;
    region.height = region.width = kCrop;
    resize_bicubic(image, region, target.data(), kCrop * 3, instruction_set);
    benchmark::DoNotOptimize(target.data());
    return image.rgb.size();
  });
  state.SetLabel(std::string(to_string(instruction_set)));
}

void normalize(benchmark::State& state) {
  std::vector<Image> prepared;
  for (const Image& image : images()) prepared.push_back(processor().resize_and_crop(image));
  std::vector<float> chw(kCrop * kCrop * 3);
  over_files(state, [&](std::size_t i) {
    processor().normalize(prepared[i], chw.data());
    benchmark::DoNotOptimize(chw.data());
    return prepared[i].rgb.size();
  });
}

void all_stages(benchmark::State& state) {
  std::vector<float> chw(kCrop * kCrop * 3);
  over_files(state, [&](std::size_t i) {
    processor().normalize(processor().resize_and_crop(decode_image(files()[i])), chw.data());
    benchmark::DoNotOptimize(chw.data());
    return files()[i].size();
  });
}

void every_instruction_set(benchmark::internal::Benchmark* benchmark) {
  for (const InstructionSet each : supported_instruction_sets()) {
    benchmark->Arg(static_cast<std::int64_t>(each));
  }
}

BENCHMARK(decode);
BENCHMARK(decode_libjpeg);
BENCHMARK(decode_opencv);
BENCHMARK(resize)->Apply(every_instruction_set);
BENCHMARK(normalize);
BENCHMARK(all_stages);

}  // namespace
}  // namespace vitrine::encoder
