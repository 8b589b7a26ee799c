#include "engine/batching_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"

namespace vitrine::engine {

/// What a pass gives a request that ends with it. An error travels as a value: the caller throws
/// it, so that no two threads ever hold one exception.
struct BatchingEncoder::Outcome {
  Matrix embeddings;
  std::optional<ErrorCode> failure;
  std::string message;
};

/// What one caller waits for; either texts or images. Belongs to a queue or to the running pass.
struct BatchingEncoder::Request {
  std::vector<encoder::TokenizedText> texts;
  std::vector<encoder::Image> images;
  std::size_t begin = 0;  // of what no pass has taken yet
  Matrix embeddings;      // [size(), dimension]
  std::promise<Outcome> promise;

  bool is_text() const { return !texts.empty(); }
  std::size_t size() const { return is_text() ? texts.size() : images.size(); }
  std::size_t left() const { return size() - begin; }
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
  std::optional<ErrorCode> failure;
  std::string message;

  std::size_t size() const {
    std::size_t count = 0;
    for (const Slice& slice : slices) count += slice.count;
    return count;
  }
};

BatchingEncoder::BatchingEncoder(const encoder::Encoder& encoder, const BatchingOptions& options)
    : encoder_(encoder), options_(options), thread_([this] { run(); }) {}

BatchingEncoder::~BatchingEncoder() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    end_pass_ = true;
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
    request->promise.set_value({std::move(request->embeddings), std::nullopt, {}});
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
      stats_.waiting += count;
      queries_.push_back(std::move(request));
      end_pass_ = true;
    } else {
      indexing_.push_back(std::move(request));
    }
    work_.notify_one();
  }
  return std::async(std::launch::deferred, [future = std::move(future)]() mutable {
    Outcome outcome = future.get();
    if (outcome.failure) throw Error(*outcome.failure, outcome.message);
    return std::move(outcome.embeddings);
  });
}

BatchingStats BatchingEncoder::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void BatchingEncoder::run() {
  while (true) {
    Pass pass;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return stopping_ || !queries_.empty() || !indexing_.empty(); });
      if (stopping_) return;
      pass = take_pass();
    }
    const auto start = std::chrono::steady_clock::now();
    try {
      encode_pass(pass);
    } catch (const Error& error) {
      pass.failure = error.code();
      pass.message = error.what();
    } catch (const std::exception& error) {
      pass.failure = ErrorCode::kInternal;
      pass.message = error.what();
    }
    finish(std::move(pass), std::chrono::steady_clock::now() - start);
  }
}

/// Called with mutex_ held and something in a queue. Texts and images go through different towers,
/// so the request in front says which of them the pass is made of.
BatchingEncoder::Pass BatchingEncoder::take_pass() {
  Pass pass;
  pass.traffic = queries_.empty() || (!indexing_.empty() && fair_share_.indexing_is_due())
                     ? Traffic::kIndexing
                     : Traffic::kQuery;
  Queue& queue = pass.traffic == Traffic::kQuery ? queries_ : indexing_;
  pass.is_text = queue.front()->is_text();
  std::size_t room = pass.is_text                      ? options_.max_texts
                     : pass.traffic == Traffic::kQuery ? options_.max_images
                                                       : options_.max_indexing_images;
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
  end_pass_ = !queries_.empty();
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
    if (pass.traffic == Traffic::kQuery) {
      rows = encoder_.encode_prepared(images);
    } else {
      rows = encoder_.encode_prepared_until(images, end_pass_);
      give_back(pass, images, rows.rows());
    }
  }
  const float* next = rows.data();
  for (const Slice& slice : pass.slices) {
    const std::size_t values = slice.count * rows.cols();
    std::copy_n(next, values, slice.request->embeddings.row(slice.begin).data());
    next += values;
  }
}

/// Takes images out of a pass that it ended before; they wait for another one.
void BatchingEncoder::give_back(Pass& pass, std::vector<encoder::Image>& images,
                                std::size_t encoded) {
  auto next = images.begin();
  for (Slice& slice : pass.slices) {
    const std::size_t done = std::min(slice.count, encoded);
    encoded -= done;
    std::move(next + static_cast<std::ptrdiff_t>(done),
              next + static_cast<std::ptrdiff_t>(slice.count),
              slice.request->images.begin() + static_cast<std::ptrdiff_t>(slice.begin + done));
    next += static_cast<std::ptrdiff_t>(slice.count);
    slice.request->begin -= slice.count - done;
    slice.count = done;
  }
}

/// Answers the requests that are complete; the others go to the end of the queue, so that a long
/// list of inputs never stands in the way of a single one for more than a pass.
void BatchingEncoder::finish(Pass pass, std::chrono::steady_clock::duration time) {
  std::vector<std::unique_ptr<Request>> done;
  {
    const std::lock_guard lock(mutex_);
    (pass.is_text ? stats_.texts : stats_.images) += pass.size();
    ++(pass.is_text ? stats_.text_passes : stats_.image_passes);
    const bool is_query = pass.traffic == Traffic::kQuery;
    is_query ? fair_share_.queries_ran(time) : fair_share_.indexing_ran(time);
    for (Slice& slice : pass.slices) {
      if (pass.failure || slice.request->left() == 0) {
        if (is_query) stats_.waiting -= slice.request->left();
        done.push_back(std::move(slice.request));
      } else {
        (is_query ? queries_ : indexing_).push_back(std::move(slice.request));
      }
    }
  }
  for (const auto& request : done) {
    request->promise.set_value({std::move(request->embeddings), pass.failure, pass.message});
  }
}

}  // namespace vitrine::engine
