#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "encoder/image.h"
#include "encoder/image_feed.h"

namespace vitrine::encoder {

/// Writes the weight of a Hugging Face name, row-major. values: exactly its number of elements. May
/// be called from many threads at once.
using ReadWeight = std::function<void(const std::string& name, std::span<float> values)>;

/// The forward passes of CLIP or a model like it, on one kind of device. One call at a time.
class ClipTowers {
 public:
  virtual ~ClipTowers() = default;

  /// images: [image_size, image_size] each, as the image processor prepares them. Returns image
  /// embeddings [n, projection_dim], not normalised.
  virtual Matrix encode_images(std::span<const Image> images) = 0;
  /// Encoder::encode_from(), at most `most` images at a time.
  virtual void encode_images_from(ImageFeed& feed, std::size_t most) {
    encode_pieces(feed, most, [this](auto& images) { return encode_images(images); });
  }
  /// Token ids as the tokenizer gives them, not padded: each text at most context_length of them,
  /// all below vocab_size. Returns text embeddings [n, projection_dim], not normalised.
  virtual Matrix encode_texts(std::span<const std::vector<std::int32_t>> texts) = 0;

  /// For measuring: the matrix products of encode_images() of so many images and nothing between
  /// them, every token through every layer. False where the towers cannot tell them apart.
  virtual bool multiply_as_for_images(int /*images*/) { return false; }
};

}  // namespace vitrine::encoder
