#include "engine/batching_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"

namespace vitrine::engine {

/// Why a pass has no embeddings, if so. An error travels as a value: the caller throws it, so that
/// no two threads ever hold one exception.
struct BatchingEncoder::Failure {
  std::optional<ErrorCode> code;  // none: there is no failure
  std::string message;

  template <typename Work>
  static Failure of(const Work& work) {
    try {
      work();
      return {};
    } catch (const Error& error) {
      return {error.code(), error.what()};
    } catch (const std::exception& error) {
      return {ErrorCode::kInternal, error.what()};
    }
  }
};

/// What a request ends with.
struct BatchingEncoder::Outcome {
  Matrix embeddings;
  Failure failure;
};

/// What one caller waits for; either texts or images. Belongs to a queue or to the running pass.
struct BatchingEncoder::Request {
  std::vector<encoder::TokenizedText> texts;
  std::vector<encoder::Image> images;
  std::size_t begin = 0;    // of what no pass has taken yet
  std::size_t encoded = 0;  // of what an IndexingFeed gave out
  Matrix embeddings;        // [size(), dimension]
  std::promise<Outcome> promise;

  bool is_text() const { return !texts.empty(); }
  std::size_t size() const { return is_text() ? texts.size() : images.size(); }
  std::size_t left() const { return size() - begin; }
  void answer(const Failure& failure) { promise.set_value({std::move(embeddings), failure}); }
};

/// The part of a request that is in a pass.
struct BatchingEncoder::Slice {
  std::unique_ptr<Request> request;
  std::size_t begin = 0;
  std::size_t count = 0;
};

/// Slices of requests that are all texts or all images.
struct BatchingEncoder::Pass {
  Traffic traffic = Traffic::kQuery;
  bool is_text = false;
  std::vector<Slice> slices;
  Failure failure;

  std::size_t size() const {
    std::size_t count = 0;
    for (const Slice& slice : slices) count += slice.count;
    return count;
  }
};

/// The images of indexing_, those that arrive meanwhile too, until something else waits.
class BatchingEncoder::IndexingFeed : public encoder::ImageFeed {
 public:
  explicit IndexingFeed(BatchingEncoder& batching) : batching_(batching) {}

  Piece take(std::size_t most) override {
    const std::lock_guard lock(batching_.mutex_);
    // A thread has one piece whatever waits: indexing is to advance.
    const bool is_first = threads_.insert(std::this_thread::get_id()).second;
    if (ended_ || (!is_first && batching_.more_than_images_wait())) return {};
    Piece piece{.images = {}, .number = next_piece_++};
    std::vector<Part> parts;
    Queue others;
    for (auto& request : batching_.indexing_) {
      const std::size_t count = std::min(most - piece.images.size(), request->left());
      if (request->is_text() || count == 0) {
        others.push_back(std::move(request));
        continue;
      }
      const std::size_t begin = std::exchange(request->begin, request->begin + count);
      const auto first = request->images.begin() + static_cast<std::ptrdiff_t>(begin);
      std::move(first, first + static_cast<std::ptrdiff_t>(count),
                std::back_inserter(piece.images));
      parts.push_back({request.get(), begin, count});
      (request->left() > 0 ? others : taken_).push_back(std::move(request));
    }
    batching_.indexing_ = std::move(others);
    // Whoever finds nothing has left the pass: more images are for all threads, in another one.
    ended_ = parts.empty();
    if (!ended_) pieces_[piece.number] = std::move(parts);
    return piece;
  }

  void give(const Piece& piece, const Matrix& embeddings) override {
    Queue done;
    {
      const std::lock_guard lock(batching_.mutex_);
      const float* next = embeddings.data();
      const auto parts = pieces_.extract(piece.number);
      for (const Part& part : parts.mapped()) {
        const std::size_t values = part.count * embeddings.cols();
        std::copy_n(next, values, part.request->embeddings.row(part.begin).data());
        next += values;
        part.request->encoded += part.count;
      }
      batching_.stats_.images += piece.images.size();
      done = take_out(taken_,
                      [](const Request& request) { return request.encoded == request.size(); });
    }
    for (const auto& request : done) request->answer({});
  }

  /// Called with the mutex held and no thread at work: the requests that have images which were
  /// taken and not given.
  Queue take_unfinished() {
    Queue unfinished = std::move(taken_);
    for (auto& request : take_out(batching_.indexing_, [](const Request& each) {
           return each.encoded < each.begin && !each.is_text();
         })) {
      unfinished.push_back(std::move(request));
    }
    return unfinished;
  }

 private:
  struct Part {
    Request* request;
    std::size_t begin;
    std::size_t count;
  };

  template <typename Condition>
  static Queue take_out(Queue& queue, const Condition& condition) {
    Queue out;
    Queue rest;
    for (auto& request : queue) (condition(*request) ? out : rest).push_back(std::move(request));
    queue = std::move(rest);
    return out;
  }

  BatchingEncoder& batching_;
  // Guarded by batching_.mutex_:
  bool ended_ = false;
  std::set<std::thread::id> threads_;  // that had a piece
  std::size_t next_piece_ = 0;
  std::map<std::size_t, std::vector<Part>> pieces_;  // that are being encoded
  Queue taken_;                                      // requests with no image left in indexing_
};

namespace {

/// For inputs of so many tokens each: by what every thread is to have, and all together.
std::size_t inputs_of_pass(int tokens, int threads, int max_batch) {
  constexpr int kTokensOfOneThread = 200;
  constexpr int kTokensOfPass = 400;
  const int inputs =
      std::max(threads * std::max(1, kTokensOfOneThread / tokens), kTokensOfPass / tokens);
  return static_cast<std::size_t>(std::clamp(inputs, 1, std::max(1, max_batch)));
}

}  // namespace

BatchingOptions batching_for(const encoder::EncoderInfo& encoder, int max_batch, int max_waiting) {
  constexpr int kUsualImageTokens = 50;  // of ViT-B/32
  BatchingOptions options;
  options.max_images =
      inputs_of_pass(encoder.image_tokens > 0 ? encoder.image_tokens : kUsualImageTokens,
                     encoder.threads, max_batch);
  options.max_texts = encoder.text_tokens > 0
                          ? inputs_of_pass(encoder.text_tokens, encoder.threads, max_batch)
                          : static_cast<std::size_t>(std::max(1, max_batch));
  options.max_waiting = static_cast<std::size_t>(max_waiting);
  return options;
}

BatchingEncoder::BatchingEncoder(const encoder::Encoder& encoder, const BatchingOptions& options)
    : encoder_(encoder), options_(options), thread_([this] { run(); }) {}

BatchingEncoder::~BatchingEncoder() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
}

Matrix BatchingEncoder::encode_texts(std::vector<encoder::TokenizedText> texts, Traffic traffic) {
  auto request = std::make_unique<Request>();
  request->texts = std::move(texts);
  return submit(std::move(request), traffic).get();
}

Matrix BatchingEncoder::encode_images(std::vector<encoder::Image> prepared, Traffic traffic) {
  return submit_images(std::move(prepared), traffic).get();
}

std::future<Matrix> BatchingEncoder::submit_images(std::vector<encoder::Image> prepared,
                                                   Traffic traffic) {
  auto request = std::make_unique<Request>();
  request->images = std::move(prepared);
  return submit(std::move(request), traffic);
}

std::future<Matrix> BatchingEncoder::submit(std::unique_ptr<Request> request, Traffic traffic) {
  const std::size_t count = request->size();
  request->embeddings = Matrix(count, static_cast<std::size_t>(encoder_.dimension()));
  std::future<Outcome> future = request->promise.get_future();
  if (count == 0) {
    request->answer({});
  } else {
    const std::lock_guard lock(mutex_);
    if (traffic == Traffic::kQuery) {
      if (stats_.waiting > 0 && stats_.waiting + count > options_.max_waiting) {
        ++stats_.refused;
        throw unavailable(
            fmt::format("{} texts and images wait for the encoder already; at most {} "
                        "may",
                        stats_.waiting, options_.max_waiting));
      }
      if (queries_.empty()) queries_wait_since_ = std::chrono::steady_clock::now();
      queries_.push_back(std::move(request));
      stats_.waiting += count;
    } else {
      indexing_.push_back(std::move(request));
    }
    work_.notify_one();
  }
  return std::async(std::launch::deferred, [future = std::move(future)]() mutable {
    Outcome outcome = future.get();
    if (outcome.failure.code) throw Error(*outcome.failure.code, outcome.failure.message);
    return std::move(outcome.embeddings);
  });
}

BatchingStats BatchingEncoder::stats() const {
  const std::lock_guard lock(mutex_);
  BatchingStats stats = stats_;
  for (const auto& request : indexing_) stats.indexing_waiting += request->left();
  return stats;
}

void BatchingEncoder::run() {
  while (true) {
    Pass pass;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return stopping_ || !queries_.empty() || !indexing_.empty(); });
      if (stopping_) return;
      if (indexing_is_next() && many_images_wait()) {
        lock.unlock();
        feed_images();
        continue;
      }
      pass = take_pass();
    }
    const auto start = std::chrono::steady_clock::now();
    pass.failure = Failure::of([&] { encode_pass(pass); });
    finish(std::move(pass), std::chrono::steady_clock::now() - start);
  }
}

/// This and the next two are called with mutex_ held.
bool BatchingEncoder::indexing_is_next() const {
  return queries_.empty() || (!indexing_.empty() && fair_share_.indexing_is_due());
}

/// Whether indexing is to go on with images, of which there are more than a pass takes.
bool BatchingEncoder::many_images_wait() const {
  std::size_t images = 0;
  for (const auto& request : indexing_) images += request->is_text() ? 0 : request->left();
  return images > options_.max_images && !indexing_.front()->is_text();
}

/// Whether something else than images of indexing is to be done.
bool BatchingEncoder::more_than_images_wait() const {
  return stopping_ || !queries_.empty() ||
         std::ranges::any_of(indexing_, [](const auto& request) { return request->is_text(); });
}

/// Called with mutex_ held and something in a queue. Texts and images go through different towers,
/// so the request in front says which of them the pass is made of.
BatchingEncoder::Pass BatchingEncoder::take_pass() {
  Pass pass;
  pass.traffic = indexing_is_next() ? Traffic::kIndexing : Traffic::kQuery;
  Queue& queue = pass.traffic == Traffic::kQuery ? queries_ : indexing_;
  pass.is_text = queue.front()->is_text();
  std::size_t room = pass.is_text ? options_.max_texts : options_.max_images;
  Queue others;
  for (auto& request : queue) {
    if (room == 0 || request->is_text() != pass.is_text) {
      others.push_back(std::move(request));
      continue;
    }
    const std::size_t count = std::min(room, request->left());
    room -= count;
    const std::size_t begin = std::exchange(request->begin, request->begin + count);
    pass.slices.push_back({std::move(request), begin, count});
  }
  queue = std::move(others);
  if (pass.traffic == Traffic::kQuery) stats_.waiting -= pass.size();
  return pass;
}

void BatchingEncoder::encode_pass(Pass& pass) const {
  Matrix rows;
  if (pass.is_text) {
    std::vector<encoder::TokenizedText> texts;
    for (const Slice& slice : pass.slices) {
      std::move(
          slice.request->texts.begin() + static_cast<std::ptrdiff_t>(slice.begin),
          slice.request->texts.begin() + static_cast<std::ptrdiff_t>(slice.begin + slice.count),
          std::back_inserter(texts));
    }
    rows = encoder_.encode_tokenized(texts);
  } else {
    std::vector<encoder::Image> images;
    for (const Slice& slice : pass.slices) {
      std::move(
          slice.request->images.begin() + static_cast<std::ptrdiff_t>(slice.begin),
          slice.request->images.begin() + static_cast<std::ptrdiff_t>(slice.begin + slice.count),
          std::back_inserter(images));
    }
    rows = encoder_.encode_prepared(images);
  }
  const float* next = rows.data();
  for (const Slice& slice : pass.slices) {
    const std::size_t values = slice.count * rows.cols();
    std::copy_n(next, values, slice.request->embeddings.row(slice.begin).data());
    next += values;
  }
}

/// Answers the requests that are complete. A query's others go to the end of the queue, so that a
/// long list of inputs never stands in the way of a single one for more than a pass. Indexing's
/// stay in front: images that wait meanwhile are then interrupted once, not for each pass of its
/// texts.
void BatchingEncoder::finish(Pass pass, std::chrono::steady_clock::duration time) {
  std::vector<std::unique_ptr<Request>> done;
  {
    const std::lock_guard lock(mutex_);
    (pass.is_text ? stats_.texts : stats_.images) += pass.size();
    ++(pass.is_text ? stats_.text_passes : stats_.image_passes);
    const bool is_query = pass.traffic == Traffic::kQuery;
    is_query ? fair_share_.queries_ran(time) : fair_share_.indexing_ran(time);
    for (Slice& slice : pass.slices) {
      if (pass.failure.code || slice.request->left() == 0) {
        if (is_query) stats_.waiting -= slice.request->left();
        done.push_back(std::move(slice.request));
      } else if (is_query) {
        queries_.push_back(std::move(slice.request));
      } else {
        indexing_.push_front(std::move(slice.request));
      }
    }
  }
  for (const auto& request : done) request->answer(pass.failure);
}

void BatchingEncoder::feed_images() {
  const auto start = std::chrono::steady_clock::now();
  IndexingFeed feed(*this);
  const Failure failure = Failure::of([&] { encoder_.encode_from(feed); });
  Queue unfinished;
  {
    const std::lock_guard lock(mutex_);
    ++stats_.image_passes;
    // What queries had no use for was not taken from them.
    const auto wanted = std::max(start, queries_wait_since_);
    fair_share_.indexing_ran(queries_.empty() ? FairShare::Duration::zero()
                                              : std::chrono::steady_clock::now() - wanted);
    unfinished = feed.take_unfinished();
    // What the images gave way to is next.
    std::stable_partition(indexing_.begin(), indexing_.end(),
                          [](const auto& each) { return each->is_text(); });
  }
  for (const auto& request : unfinished) request->answer(failure);
}

}  // namespace vitrine::engine
