#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tools/garment_painter.h"
#include "tools/prompts.h"

namespace vitrine::tools {

/// What one optimisation step sees.
struct TrainingBatch {
  std::vector<std::uint8_t> rgb;     ///< [products, size, size, 3]
  std::vector<Attributes> products;  ///< one an image
  std::vector<Attributes> texts;     ///< what each prompt names
  std::vector<std::string> prompts;
  /// The texts come in groups: every garment, every colour, every pattern, captions. group_ends[i]
  /// is one past the last text of group i.
  std::vector<int> group_ends;
};

/// The training photos with their labels, cut out once.
struct TrainingPhotos {
  std::vector<CutOut> garments;
  std::vector<int> labels;
};
TrainingPhotos prepare_photos(std::span<const GarmentPhoto> photos);

struct BatchOptions {
  int products = 256;      ///< images a batch
  int captions = 160;      ///< texts of several attributes a batch
  int image_size = 56;     ///< pixels
  float patterned = 0.5f;  ///< part of the products that are not plain
};

/// Makes batch `step` of a run: the same (seed, step) gives the same batch. Each epoch visits every
/// photo once in a new order, in a new look, moved, zoomed and mirrored a little.
TrainingBatch make_batch(const TrainingPhotos& photos, const BatchOptions& options,
                         std::uint64_t seed, std::int64_t step);

/// One batch a compute thread.
using Batches = std::vector<TrainingBatch>;

/// Makes batches ahead on a thread of its own. next() from one thread.
class BatchStream {
 public:
  BatchStream(std::function<Batches(std::int64_t)> make, std::int64_t first_step);
  ~BatchStream();
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  Batches next();

 private:
  void run(std::int64_t step);

  std::function<Batches(std::int64_t)> make_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batches> ready_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace vitrine::tools
