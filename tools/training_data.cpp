#include "tools/training_data.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace vitrine::tools {
namespace {

constexpr std::size_t kBatchesAhead = 6;

/// Element `index` of a permutation of [0, count) that the key picks.
std::vector<int> permutation(int count, std::uint64_t seed, std::uint64_t epoch) {
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  Random random(seed, 0x10000 + epoch);
  for (int i = count - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
  return order;
}

void add_text(TrainingBatch& batch, const Attributes& named, Random& random) {
  batch.texts.push_back(named);
  batch.prompts.push_back(draw_prompt(named, random));
}

Attributes some_of(const Attributes& product, Random& random) {
  Attributes named = product;
  const float ticket = random.uniform();
  if (ticket < 0.2f) named.pattern = kUnnamed;
  if (ticket >= 0.2f && ticket < 0.3f) named.colour = kUnnamed;
  if (ticket >= 0.3f && ticket < 0.4f) named.garment = kUnnamed;
  return named;
}

}  // namespace

TrainingPhotos prepare_photos(std::span<const GarmentPhoto> photos) {
  TrainingPhotos result;
  for (const GarmentPhoto& photo : photos) {
    result.garments.push_back(cut_out(photo));
    result.labels.push_back(photo.garment);
  }
  return result;
}

TrainingBatch make_batch(const TrainingPhotos& photos, const BatchOptions& options,
                         std::uint64_t seed, std::int64_t step) {
  const int count = static_cast<int>(photos.garments.size());
  const std::int64_t steps_an_epoch = count / options.products;
  const std::int64_t epoch = step / steps_an_epoch;
  static thread_local std::pair<std::int64_t, std::vector<int>> order{-1, {}};
  if (order.first != epoch || static_cast<int>(order.second.size()) != count) {
    order = {epoch, permutation(count, seed, epoch)};
  }
  Random random(seed, 0x2000000 + step);
  TrainingBatch batch;
  const std::size_t bytes = std::size_t(options.image_size) * options.image_size * 3;
  batch.rgb.resize(bytes * options.products);
  for (int i = 0; i < options.products; ++i) {
    const int photo = order.second[(step % steps_an_epoch) * options.products + i];
    GarmentLook look = draw_look(random, options.patterned);
    look.mirrored = random.chance(0.25f);
    look.shift_x = random.uniform(-1.5f, 1.5f);
    look.shift_y = random.uniform(-1.5f, 1.5f);
    look.zoom = random.uniform(0.92f, 1.06f);
    paint(photos.garments[photo], look, options.image_size,
          std::span(batch.rgb).subspan(bytes * i, bytes));
    batch.products.push_back({photos.labels[photo], look.colour, look.pattern});
  }

  const auto end_group = [&] { batch.group_ends.push_back(static_cast<int>(batch.texts.size())); };
  for (int i = 0; i < static_cast<int>(garments().size()); ++i) {
    add_text(batch, {i, kUnnamed, kUnnamed}, random);
  }
  end_group();
  for (int i = 0; i < static_cast<int>(colours().size()); ++i) {
    add_text(batch, {kUnnamed, i, kUnnamed}, random);
  }
  end_group();
  for (int i = 0; i < static_cast<int>(patterns().size()); ++i) {
    add_text(batch, {kUnnamed, kUnnamed, i}, random);
  }
  end_group();
  for (int i = 0; i < options.captions; ++i) {
    add_text(batch, some_of(batch.products[random.below(options.products)], random), random);
  }
  end_group();
  return batch;
}

BatchStream::BatchStream(std::function<Batches(std::int64_t)> make, std::int64_t first_step)
    : make_(std::move(make)), thread_([this, first_step] { run(first_step); }) {}

BatchStream::~BatchStream() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Batches BatchStream::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty(); });
  Batches batch = std::move(ready_.front());
  ready_.pop_front();
  changed_.notify_all();
  return batch;
}

void BatchStream::run(std::int64_t step) {
  for (;; ++step) {
    Batches batch = make_(step);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || ready_.size() < kBatchesAhead; });
    if (stopped_) return;
    ready_.push_back(std::move(batch));
    changed_.notify_all();
  }
}

}  // namespace vitrine::tools
