#pragma once

#include <cstddef>
#include <vector>

#include "base/matrix.h"
#include "encoder/image.h"

namespace vitrine::encoder {

/// Where a long pass finds its images, a few at a time, and leaves their embeddings: a thread that
/// is done with some takes the next ones, and waits for no other thread as it would at the end of a
/// batch. The encoder's threads call both functions, at the same time.
class ImageFeed {
 public:
  struct Piece {
    std::vector<Image> images;  ///< as Encoder::prepare() makes them
    std::size_t number = 0;     ///< of the piece, for the feed itself
  };

  virtual ~ImageFeed() = default;
  /// The next images, at most `most` of them. None: the calling thread has no more to do.
  virtual Piece take(std::size_t most) = 0;
  /// embeddings: [piece.images.size(), dimension()], row i of image i.
  virtual void give(const Piece& piece, const Matrix& embeddings) = 0;
};

/// Encodes on the calling thread all that the feed gives it; encode(images) gives embeddings.
template <typename Encode>
void encode_pieces(ImageFeed& feed, std::size_t most, const Encode& encode) {
  for (ImageFeed::Piece piece = feed.take(most); !piece.images.empty(); piece = feed.take(most)) {
    feed.give(piece, encode(piece.images));
  }
}

}  // namespace vitrine::encoder
