#include "encoder/golden_vectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "encoder/json_file.h"

namespace vitrine::encoder {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxFileBytes = 16 << 20;
constexpr const char* kFloat32 = "float32";

struct GoldenVectors {
  std::vector<std::string> texts;
  std::vector<Image> images;
  std::vector<std::vector<float>> text_embeddings;
  std::vector<std::vector<float>> image_embeddings;
};

std::vector<float> unit(std::span<const float> row) {
  double squares = 0;
  for (const float value : row) squares += static_cast<double>(value) * value;
  const double length = std::sqrt(squares);
  std::vector<float> result;
  result.reserve(row.size());
  for (const float value : row) result.push_back(static_cast<float>(value / length));
  return result;
}

/// An integer in [0, most]; json's own conversion takes whatever number there is.
template <typename Integer>
Integer unsigned_integer(const json& value, Integer most) {
  if (!value.is_number_unsigned() || value > most) {
    throw corruption(
        fmt::format("{} is not an integer in [0, {}]", printable(value.dump(), 80), most));
  }
  return value.get<Integer>();
}

Image parse_image(const json& entry) {
  constexpr int most_pixels = 1 << 20;  // of a side
  constexpr std::uint8_t most_light = 255;
  Image image{unsigned_integer(entry.at("height"), most_pixels),
              unsigned_integer(entry.at("width"), most_pixels),
              {}};
  for (const json& value : entry.at("rgb")) {
    image.rgb.push_back(unsigned_integer(value, most_light));
  }
  const bool positive = image.height > 0 && image.width > 0;
  if (!positive || image.rgb.size() != 3 * static_cast<std::uint64_t>(image.height) *
                                           static_cast<std::uint64_t>(image.width)) {
    throw corruption(fmt::format("an image of {} x {} pixels has {} values", image.width,
                                 image.height, image.rgb.size()));
  }
  return image;
}

GoldenVectors parse(const json& file, std::size_t dimension) {
  GoldenVectors golden;
  const auto embedding = [&](const json& entry) {
    auto values = entry.at("embedding").get<std::vector<float>>();
    if (values.size() != dimension) {
      throw corruption(fmt::format("an embedding has {} numbers, the encoder gives {}",
                                   values.size(), dimension));
    }
    return values;
  };
  for (const json& entry : file.at("texts")) {
    golden.texts.push_back(entry.at("text").get<std::string>());
    golden.text_embeddings.push_back(embedding(entry));
  }
  for (const json& entry : file.at("images")) {
    golden.images.push_back(parse_image(entry));
    golden.image_embeddings.push_back(embedding(entry));
  }
  return golden;
}

/// Why the two differ too much for the precision; empty: they do not.
std::string difference(std::span<const float> row, std::span<const float> golden,
                       const std::string& precision) {
  const std::vector<float> actual = unit(row);
  if (precision == kFloat32) {
    constexpr float allowed = 1e-4F;
    for (std::size_t i = 0; i < golden.size(); ++i) {
      const float off = std::abs(actual[i] - golden[i]);
      if (off <= allowed) continue;  // NaN is not
      return fmt::format("is off by {:.2g} in component {}, allowed is {}", off, i, allowed);
    }
    return "";
  }
  const double wanted = precision == "int8" ? 0.99 : 0.9995;
  double cosine = 0;
  for (std::size_t i = 0; i < golden.size(); ++i) {
    cosine += static_cast<double>(actual[i]) * golden[i];
  }
  if (cosine >= wanted) return "";
  return fmt::format("has a cosine of {:.5f}, wanted is {}", cosine, wanted);
}

json embedding_json(std::span<const float> row) {
  json::array_t numbers;
  for (const float value : unit(row)) {
    // Seven digits instead of the seventeen of the double that JSON would make of it.
    numbers.push_back(json::parse(fmt::format("{:.7g}", value)));
  }
  return numbers;
}

}  // namespace

void check_golden_vectors(const Encoder& encoder, const std::filesystem::path& checkpoint_folder) {
  const std::filesystem::path path = checkpoint_folder / kGoldenFile;
  if (!std::filesystem::exists(path)) return;
  GoldenVectors golden;
  try {
    golden =
        parse(read_json_object(path, kMaxFileBytes), static_cast<std::size_t>(encoder.dimension()));
  } catch (const json::exception& error) {
    throw corruption(fmt::format("{}: {}", path.string(), error.what()));
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", path.string(), error.what()));
  }
  const std::string precision = encoder.info().precision;
  const auto check = [&](const Matrix& rows, const std::vector<std::vector<float>>& expected,
                         const auto& name) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::string problem = difference(rows.row(i), expected[i], precision);
      if (problem.empty()) continue;
      throw corruption(fmt::format(
          "the encoder fails its self-test in {}: the embedding of {} {} (compared with {}). The "
          "checkpoint's files do not belong together, or this build computes wrongly here",
          precision, name(i), problem, path.string()));
    }
  };
  check(encoder.encode_texts(golden.texts), golden.text_embeddings,
        [&](std::size_t i) { return fmt::format("the text \"{}\"", printable(golden.texts[i])); });
  check(encoder.encode_images(golden.images), golden.image_embeddings,
        [](std::size_t i) { return fmt::format("image {}", i + 1); });
}

void write_golden_vectors(const Encoder& encoder, std::span<const std::string> texts,
                          std::span<const Image> images,
                          const std::filesystem::path& checkpoint_folder) {
  if (encoder.info().precision != kFloat32) {
    throw failed_precondition("golden vectors must be made in float32, not in " +
                              encoder.info().precision);
  }
  json file = {{"texts", json::array()}, {"images", json::array()}};
  const Matrix text_rows = encoder.encode_texts(texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    file["texts"].push_back({{"text", texts[i]}, {"embedding", embedding_json(text_rows.row(i))}});
  }
  const Matrix image_rows = encoder.encode_images(images);
  for (std::size_t i = 0; i < images.size(); ++i) {
    file["images"].push_back({{"height", images[i].height},
                              {"width", images[i].width},
                              {"rgb", images[i].rgb},
                              {"embedding", embedding_json(image_rows.row(i))}});
  }
  write_file_atomically(checkpoint_folder / kGoldenFile, file.dump() + "\n");
}

}  // namespace vitrine::encoder
