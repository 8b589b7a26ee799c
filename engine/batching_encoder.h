#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/matrix.h"
#include "encoder/encoder.h"
#include "encoder/image.h"
#include "engine/fair_share.h"

namespace vitrine::engine {

struct BatchingOptions {
  /// Texts of one forward pass, at least 1.
  std::size_t max_texts = 32;
  /// Images of one forward pass, at least 1. A query that arrives during a pass waits for its end,
  /// so this bounds what indexing costs a query; beyond a few images for each of the encoder's
  /// threads a larger pass is hardly faster an image.
  std::size_t max_images = 8;
  /// Texts and images of queries that may wait, at least 1.
  std::size_t max_waiting = 1024;
};

/// What suits an encoder: passes large enough for its threads, beyond which an input is hardly
/// encoded faster, and small enough for a query that waits for the end of one. max_batch: inputs of
/// a pass at most. max_waiting: as above.
BatchingOptions batching_for(const encoder::EncoderInfo& encoder, int max_batch, int max_waiting);

/// What the encoder has done since it was started.
struct BatchingStats {
  std::uint64_t texts = 0;
  std::uint64_t text_passes = 0;
  std::uint64_t images = 0;
  std::uint64_t image_passes = 0;
  std::uint64_t refused = 0;         ///< requests that found no room in the queue
  std::size_t waiting = 0;           ///< texts and images of queries, now
  std::size_t indexing_waiting = 0;  ///< other texts and images, now
};

/// Encodes what concurrent callers bring in common forward passes, one pass at a time. A caller
/// that finds the encoder idle is served at once; what arrives during a pass forms the next one.
/// Many images that are not of queries are one pass for as long as more of them come, which ends
/// as soon as anything else waits: it then costs a query no more than a pass of max_images.
///
/// All passes run on one thread of this object: it is the first of the encoder's own team of
/// threads, and callers cost no cores while they wait.
/// Inputs come tokenized or prepared: what is wrong with one has shown before it meets others. When
/// a pass fails, each of its callers gets the error.
///
/// Thread-safe. Every call must have returned before the destruction; a future may be dropped, and
/// must not be waited for afterwards.
class BatchingEncoder {
 public:
  enum class Traffic {
    kQuery,     ///< somebody waits for the answer
    kIndexing,  ///< everything else: see FairShare
  };

  /// encoder must outlive this object.
  BatchingEncoder(const encoder::Encoder& encoder, const BatchingOptions& options);
  ~BatchingEncoder();
  BatchingEncoder(const BatchingEncoder&) = delete;
  BatchingEncoder& operator=(const BatchingEncoder&) = delete;

  /// Waits for the embeddings: [n, dimension], row i of input i, not normalised; n may be 0.
  /// Throws Unavailable when too many queries wait already (a request of any size is taken when
  /// none does; indexing is not bounded, since its callers wait), and what the encoder throws.
  Matrix encode_texts(std::vector<encoder::TokenizedText> texts, Traffic traffic);
  Matrix encode_images(std::vector<encoder::Image> prepared, Traffic traffic);

  /// encode_images() in two steps: get() of what is returned waits and throws. Whoever keeps one
  /// request waiting while preparing the next never leaves the encoder without work.
  std::future<Matrix> submit_images(std::vector<encoder::Image> prepared, Traffic traffic);

  BatchingStats stats() const;

 private:
  struct Outcome;
  struct Failure;
  struct Request;
  struct Slice;
  struct Pass;
  class IndexingFeed;
  using Queue = std::deque<std::unique_ptr<Request>>;

  std::future<Matrix> submit(std::unique_ptr<Request> request, Traffic traffic);
  void run();
  bool indexing_is_next() const;
  bool many_images_wait() const;
  bool more_than_images_wait() const;
  Pass take_pass();
  void encode_pass(Pass& pass) const;
  void finish(Pass pass, std::chrono::steady_clock::duration time);
  void feed_images();

  const encoder::Encoder& encoder_;
  const BatchingOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  Queue queries_;          // guarded by mutex_
  Queue indexing_;         // guarded by mutex_
  FairShare fair_share_;   // guarded by mutex_
  BatchingStats stats_;    // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  /// Since when a query waits, if one does. Guarded by mutex_.
  std::chrono::steady_clock::time_point queries_wait_since_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vitrine::engine
