#include "engine/catalog_set.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "engine/timestamp.h"

namespace vitrine::engine {
namespace {

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// Whether a generation that cannot be opened for it can never be served. What else goes wrong may
/// pass, as that there are too many open files.
bool is_damage(const Error& error) {
  return error.code() == ErrorCode::kCorruption || error.code() == ErrorCode::kNotFound;
}

Error no_such_catalog(std::string_view name) {
  return not_found(fmt::format("there is no catalog \"{}\"", printable(name)));
}

Error no_sound_generation(const std::string& catalog, const std::string& which,
                          const std::vector<std::uint64_t>& kept) {
  return failed_precondition(
      fmt::format("catalog {} has no sound generation {}; there {}: {}", catalog, which,
                  kept.size() == 1 ? "is" : "are",
                  kept.empty() ? "none" : fmt::to_string(fmt::join(kept, ", "))));
}

/// Where a product is while an edit is made of a catalog's delta: in one of the two, or nowhere.
struct Place {
  std::optional<std::size_t> delta_row;
  std::optional<std::size_t> base_row;  // live

  bool exists() const { return delta_row || base_row; }
};

Place find_product(const Catalog& catalog, const Delta& now, const std::string& id) {
  if (const auto row = now.find(id)) return {row, std::nullopt};
  const std::optional<std::size_t> row = catalog.base_row_of(id);
  const bool live = row && (now.live_base() == nullptr || now.live_base()->contains(*row));
  return {std::nullopt, live ? row : std::nullopt};
}

/// The whole product that an update makes of what the catalog and the edit have.
storage::Update complete(const Catalog& catalog, const Delta& now, const Place& place,
                         const PreparedUpdate& prepared) {
  const auto& [delta_row, base_row] = place;
  storage::Update update;
  update.product.id = prepared.id;
  update.deleted = prepared.deleted;
  if (prepared.deleted) {
    if (!place.exists()) {
      throw not_found(
          fmt::format("catalog {} has no product \"{}\"", catalog.name(), printable(prepared.id)));
    }
    return update;
  }
  if (!place.exists() && (!prepared.caption || !prepared.image_embedding)) {
    throw invalid_argument(fmt::format(
        "product \"{}\" is new to catalog {}: it needs {}", printable(prepared.id), catalog.name(),
        prepared.caption ? "an image or an image embedding" : "a caption"));
  }
  if (delta_row) update.product = now.product(*delta_row);
  if (base_row) update.product = std::move(catalog.products({&*base_row, 1}).front());
  const auto embedding = [&](Target target, const std::optional<std::vector<float>>& given) {
    if (given) return *given;
    if (place.base_row) return catalog.vector(target, *place.base_row);
    const std::span<const float> kept = now.vector(target, *place.delta_row);
    return std::vector<float>(kept.begin(), kept.end());
  };
  update.image_embedding = embedding(Target::kImage, prepared.image_embedding);
  update.caption_embedding = embedding(Target::kCaption, prepared.caption_embedding);
  if (prepared.image) update.product.image = *prepared.image;
  if (prepared.caption) update.product.caption = *prepared.caption;
  if (prepared.attributes) update.product.attributes = *prepared.attributes;
  return update;
}

/// Lets go of a snapshot that was replaced when nobody else has it or its generation any more, so
/// that no search is the one to unmap and free millions of rows. Waits for the searches that run,
/// not for a reader who stays.
void release_after_readers(std::shared_ptr<const Catalog> old) {
  constexpr std::chrono::milliseconds kPatience{500};
  constexpr std::chrono::milliseconds kInterval{5};
  if (!old) return;
  const auto start = std::chrono::steady_clock::now();
  while (old.use_count() > 1 || old->generation_lifetime().use_count() > 1) {
    if (std::chrono::steady_clock::now() - start >= kPatience) return;
    std::this_thread::sleep_for(kInterval);
  }
}

}  // namespace

CatalogSet::CatalogSet(storage::Database& database, storage::GenerationStore& generations,
                       GenerationOptions options)
    : database_(database), generations_(generations), options_(std::move(options)) {
  sweep();
  for (const auto& [name, pointer] : database_.list_pointers()) {
    const auto start = std::chrono::steady_clock::now();
    Entry entry = open_newest_intact(name, pointer);
    entry.loss = database_.loss();
    if (!entry.problem.empty()) spdlog::error("catalog {}: {}", name, entry.problem);
    if (entry.catalog) {
      spdlog::info(
          "catalog {}: generation {}, {} products ({}, {}), {} updates not merged, opened in "
          "{:.0f} ms",
          name, entry.catalog->generation(), entry.catalog->size(), entry.catalog->index_kind(),
          entry.catalog->index_device(),
          entry.catalog->delta().rows() + entry.catalog->delta().tombstones(),
          milliseconds_since(start));
      snapshots_.push_back(
          {name, entry.catalog->generation(), entry.catalog->generation_lifetime()});
    }
    entries_.emplace(name, std::move(entry));
  }
}

CatalogSet::Entry CatalogSet::open_newest_intact(const std::string& name,
                                                 const storage::CatalogPointer& pointer) {
  const std::vector<std::uint64_t> candidates = pointer.kept();
  Entry entry;
  for (const std::uint64_t generation : candidates) {
    try {
      entry.catalog =
          with_stored_updates(Catalog::open(generations_, database_, name, generation, options_));
      if (!entry.problem.empty()) {
        entry.problem += fmt::format("; generation {} is served instead", generation);
      }
      return entry;
    } catch (const Error& error) {
      entry.catalog = nullptr;
      if (is_damage(error)) {
        entry.damaged.insert(generation);
      } else {
        entry.code = error.code();
      }
      entry.problem += fmt::format("{}generation {} cannot be opened: {}",
                                   entry.problem.empty() ? "" : "; ", generation, error.what());
    }
  }
  entry.problem += entry.damaged.size() == candidates.size()
                       ? "; no generation is intact, the catalog must be indexed anew"
                       : "; mend what is in the way, and restart";
  return entry;
}

std::shared_ptr<const Catalog> CatalogSet::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw no_such_catalog(name);
  if (!found->second.catalog) {
    throw Error(found->second.code, fmt::format("catalog {}: {}", name, found->second.problem));
  }
  return found->second.catalog;
}

std::map<std::string, CatalogSet::Entry, std::less<>> CatalogSet::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_;
}

IndexRequest CatalogSet::last_request(const std::string& name) const {
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(name);
    if (found != entries_.end() && found->second.catalog) return found->second.catalog->request();
  }
  const std::optional<storage::CatalogPointer> pointer = database_.get_pointer(name);
  if (!pointer) throw no_such_catalog(name);
  for (const std::uint64_t generation : pointer->kept()) {
    try {
      return request_of(generations_.read_manifest(name, generation));
    } catch (const Error& error) {
      spdlog::warn("{}", error.what());
    }
  }
  throw failed_precondition("no generation of catalog " + name +
                            " is left that says what it was indexed from; index its catalogue "
                            "file with `vitrine index`");
}

std::unique_ptr<CatalogSet::Draft> CatalogSet::begin(const std::string& catalog) {
  const std::lock_guard sweep_lock(sweep_mutex_);
  const std::optional<storage::CatalogPointer> pointer = database_.get_pointer(catalog);
  auto generation = generations_.begin(catalog, pointer ? pointer->generation : 0);
  const std::lock_guard lock(mutex_);
  drafts_[catalog].insert(generation.number);
  return std::unique_ptr<Draft>(new Draft(*this, catalog, std::move(generation)));
}

CatalogSet::Draft::~Draft() {
  {
    const std::lock_guard lock(set_.mutex_);
    set_.drafts_[catalog_].erase(generation_.number);
  }
  set_.sweep();
}

std::shared_ptr<const Catalog> CatalogSet::publish(const Draft& draft, int keep) {
  const std::string& name = draft.catalog_;
  storage::CatalogPointer pointer{draft.generation(), {}};
  if (const auto old = database_.get_pointer(name)) {
    pointer.previous = kept_and_sound(name, *old);
    // What was rolled back from: a rollback from here would bring it back.
    std::erase_if(pointer.previous, [&](std::uint64_t g) { return g > old->generation; });
    pointer.previous.resize(std::min(pointer.previous.size(), static_cast<std::size_t>(keep) - 1));
  }
  return make_current(pointer,
                      Catalog::open(generations_, database_, name, pointer.generation, options_));
}

std::shared_ptr<const Catalog> CatalogSet::make_current(storage::CatalogPointer pointer,
                                                        std::shared_ptr<const Catalog> opened) {
  const std::string& name = opened->name();
  const std::shared_ptr<UpdateQueue> queue = queue_of(name);
  std::shared_ptr<const Catalog> next = with_stored_updates(opened);
  Entry entry;  // then the one that was served
  {
    // Writers wait here; most of what was written since the build began is read already.
    const UpdateQueue::Turn turn(*queue);
    next = with_stored_updates(next);
    pointer.last_sequence = std::max(database_.last_update(name), next->sequence());
    database_.publish_generation(name, pointer);
    entry.catalog = next;
    const std::lock_guard lock(mutex_);
    entry.loss = entries_[name].loss;
    std::swap(entries_[name], entry);
    snapshots_.push_back({name, pointer.generation, next->generation_lifetime()});
  }
  release_after_readers(std::move(entry.catalog));
  return next;
}

std::optional<std::uint64_t> CatalogSet::served_generation(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry == entries_.end() || !entry->second.catalog) return std::nullopt;
  return entry->second.catalog->generation();
}

std::vector<std::uint64_t> CatalogSet::kept_and_sound(
    const std::string& name, const storage::CatalogPointer& pointer) const {
  std::vector<std::uint64_t> kept = pointer.kept();
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry != entries_.end()) {
    std::erase_if(kept, [&](std::uint64_t g) { return entry->second.damaged.contains(g); });
  }
  return kept;
}

std::vector<GenerationSummary> CatalogSet::generations(const std::string& name) const {
  const std::optional<storage::CatalogPointer> pointer = database_.get_pointer(name);
  if (!pointer) throw no_such_catalog(name);
  const std::optional<std::uint64_t> served = served_generation(name);
  std::vector<GenerationSummary> summaries;
  for (const std::uint64_t generation : pointer->kept()) {
    GenerationSummary summary;
    summary.generation = generation;
    summary.served = generation == served;
    try {
      const storage::Manifest manifest = generations_.read_manifest(name, generation);
      summary.products = manifest.product_count;
      summary.index_kind = request_of(manifest).index.kind;
      summary.catalog_file = manifest.catalog_file;
      summary.created_at = manifest.created_at;
      summary.encoder_fingerprint = manifest.encoder_fingerprint;
    } catch (const Error& error) {
      summary.problem = error.what();
    }
    summaries.push_back(std::move(summary));
  }
  return summaries;
}

std::shared_ptr<const Catalog> CatalogSet::roll_back(const std::string& name,
                                                     std::optional<std::uint64_t> number,
                                                     const std::string& fingerprint) {
  const std::optional<storage::CatalogPointer> pointer = database_.get_pointer(name);
  if (!pointer) throw no_such_catalog(name);
  if (number && *number == pointer->generation && number == served_generation(name)) {
    throw failed_precondition(
        fmt::format("generation {} of catalog {} is current already", *number, name));
  }
  const std::shared_ptr<const Catalog> opened =
      number ? open_kept(name, *number, *pointer) : open_before(name, *pointer);
  opened->require_encoder(fingerprint);
  std::vector<std::uint64_t> others = kept_and_sound(name, *pointer);
  std::erase(others, opened->generation());
  std::shared_ptr<const Catalog> current = make_current({opened->generation(), others}, opened);
  spdlog::warn("catalog {}: rolled back from generation {} to {}, of {}, with the updates since",
               name, pointer->generation, current->generation(), current->created_at());
  sweep();
  return current;
}

std::shared_ptr<const Catalog> CatalogSet::open_kept(const std::string& name, std::uint64_t number,
                                                     const storage::CatalogPointer& pointer) {
  const std::vector<std::uint64_t> kept = kept_and_sound(name, pointer);
  if (std::ranges::find(kept, number) == kept.end()) {
    throw no_sound_generation(name, std::to_string(number), kept);
  }
  return Catalog::open(generations_, database_, name, number, options_);
}

std::shared_ptr<const Catalog> CatalogSet::open_before(const std::string& name,
                                                       const storage::CatalogPointer& pointer) {
  std::vector<std::uint64_t> kept = kept_and_sound(name, pointer);
  std::ranges::sort(kept, std::greater());
  for (const std::uint64_t generation : kept) {
    if (generation >= pointer.generation) continue;
    try {
      return Catalog::open(generations_, database_, name, generation, options_);
    } catch (const Error& error) {
      if (!is_damage(error)) throw;
      spdlog::error("catalog {}: generation {} is passed over: {}", name, generation, error.what());
      const std::lock_guard lock(mutex_);
      entries_[name].damaged.insert(generation);
    }
  }
  throw no_sound_generation(name, fmt::format("before {}", pointer.generation),
                            kept_and_sound(name, pointer));
}

std::shared_ptr<const Catalog> CatalogSet::with_stored_updates(
    const std::shared_ptr<const Catalog>& catalog) const {
  DeltaEdit edit(catalog->delta());
  std::size_t foreign = 0;
  database_.read_updates(catalog->name(), catalog->sequence(), [&](storage::Update&& update) {
    if (!update.deleted && (update.encoder_fingerprint != catalog->encoder_fingerprint() ||
                            update.image_embedding.size() != catalog->dimension())) {
      ++foreign;
      edit.skip(update.sequence);
      return;
    }
    edit.apply(update, catalog->base_row_of(update.product.id));
  });
  if (foreign > 0) {
    spdlog::warn("catalog {}: {} updates with embeddings of another encoder are left out",
                 catalog->name(), foreign);
  }
  if (edit.now().sequence() == catalog->sequence()) return catalog;
  return catalog->with(edit.finish());
}

std::uint64_t CatalogSet::sequence(const std::string& name) const {
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(name);
    if (found != entries_.end() && found->second.catalog) return found->second.catalog->sequence();
  }
  return database_.last_update(name);
}

std::shared_ptr<UpdateQueue> CatalogSet::queue_of(const std::string& name) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<UpdateQueue>& queue = queues_[name];
  if (!queue) queue = std::make_shared<UpdateQueue>();
  return queue;
}

std::vector<UpdateResult> CatalogSet::update(const std::string& name,
                                             const std::string& fingerprint,
                                             std::span<const PreparedUpdate> updates,
                                             std::size_t max_rows) {
  find(name);  // before there is a queue for it
  const std::shared_ptr<UpdateQueue> queue = queue_of(name);
  UpdateQueue::Request request(updates);
  return queue->run(request, [&](std::span<UpdateQueue::Request* const> requests) {
    commit(name, fingerprint, max_rows, *queue, requests);
  });
}

void CatalogSet::commit(const std::string& name, const std::string& fingerprint,
                        std::size_t max_rows, UpdateQueue& queue,
                        std::span<UpdateQueue::Request* const> requests) {
  try {
    const std::shared_ptr<const Catalog> current = find(name);
    DeltaEdit edit(current->delta());
    if (queue.last_sequence > edit.now().sequence()) edit.skip(queue.last_sequence);
    std::vector<storage::Update> updates;
    std::vector<storage::Upload> uploads;
    const std::int64_t now = unix_ms();
    for (UpdateQueue::Request* request : requests) {
      std::vector<storage::Update> wanted;
      std::vector<storage::Upload> uploaded;
      std::vector<UpdateResult> results;
      try {
        current->require_encoder(fingerprint);
        // What is empty cannot be merged; the first product makes room for a merge.
        if (edit.now().rows() + edit.now().tombstones() >= max_rows && current->size() > 0) {
          throw unavailable(
              fmt::format("catalog {} has {} updates that are not merged yet; try again when a "
                          "merge has ended, or see why none does",
                          name, max_rows));
        }
        // First all of the request, which names no product twice: it counts as a whole or not.
        for (const PreparedUpdate& prepared : request->updates) {
          const Place place = find_product(*current, edit.now(), prepared.id);
          storage::Update update = complete(*current, edit.now(), place, prepared);
          update.sequence = edit.now().sequence() + wanted.size() + 1;
          update.time_ms = now;
          update.encoder_fingerprint = fingerprint;
          storage::validate(update);
          results.push_back({update.sequence, place.exists()});
          wanted.push_back(std::move(update));
          if (prepared.upload) uploaded.push_back(*prepared.upload);
        }
      } catch (...) {
        request->error = std::current_exception();
        continue;
      }
      // Where memory runs out from here on, all requests fail: the edit has a part of this one.
      for (storage::Update& update : wanted) {
        edit.apply(update, current->base_row_of(update.product.id));
        updates.push_back(std::move(update));
      }
      std::ranges::move(uploaded, std::back_inserter(uploads));
      request->results = std::move(results);
    }
    if (updates.empty()) return;
    queue.last_sequence = edit.now().sequence();
    for (const storage::Upload& upload : uploads) queue.recent_uploads.insert(upload.digest);
    // Before the write, for nothing may fail between that and the moment all see it.
    std::shared_ptr<const Catalog> next = current->with(edit.finish());
    database_.put_updates(name, updates, uploads);
    const std::lock_guard lock(mutex_);
    std::swap(entries_[name].catalog, next);  // the old one is let go of without the lock
  } catch (...) {
    for (UpdateQueue::Request* request : requests) {
      if (!request->error) request->error = std::current_exception();
    }
  }
}

void CatalogSet::forget_loss(const std::string& name) {
  const std::lock_guard lock(mutex_);
  entries_[name].loss.clear();
}

void CatalogSet::tidy(const std::string& name) {
  try {
    forget_covered_updates(name);
    sweep_uploads(name);
  } catch (const std::exception& error) {
    spdlog::warn("cannot tidy up the updates of catalog {}, the next merge tries again: {}", name,
                 error.what());
  }
}

void CatalogSet::forget_covered_updates(const std::string& name) {
  const std::optional<storage::CatalogPointer> pointer = database_.get_pointer(name);
  if (!pointer) return;
  std::optional<std::uint64_t> covered;
  for (const std::uint64_t generation : pointer->kept()) {
    try {
      const std::uint64_t sequence = generations_.read_manifest(name, generation).covered_sequence;
      covered = covered ? std::min(*covered, sequence) : sequence;
    } catch (const Error& error) {
      if (!is_damage(error)) throw;  // what can never be served needs no updates
    }
  }
  if (covered && *covered > 0) database_.delete_updates(name, *covered);
}

void CatalogSet::sweep_uploads(const std::string& name) {
  const std::shared_ptr<UpdateQueue> queue = queue_of(name);
  {
    const UpdateQueue::Turn turn(*queue);
    queue->recent_uploads.clear();
  }
  // Not in turn, for this reads all of them: what is uploaded meanwhile is recent.
  std::set<Sha256Digest> unnamed = database_.list_uploads(name);
  if (unnamed.empty()) return;
  for (const Sha256Digest& digest : database_.list_named_uploads(name)) unnamed.erase(digest);
  const UpdateQueue::Turn turn(*queue);
  std::vector<Sha256Digest> doomed;
  std::ranges::set_difference(unnamed, queue->recent_uploads, std::back_inserter(doomed));
  if (!doomed.empty()) database_.delete_uploads(name, doomed);
}

void CatalogSet::sweep() {
  try {
    const std::lock_guard sweep_lock(sweep_mutex_);
    storage::GenerationSet in_use;
    {
      const std::lock_guard lock(mutex_);
      in_use = drafts_;
      std::erase_if(snapshots_, [](const auto& snapshot) { return snapshot.lifetime.expired(); });
      for (const Snapshot& snapshot : snapshots_) {
        in_use[snapshot.catalog].insert(snapshot.generation);
      }
    }
    const std::size_t swept = storage::sweep_generations(database_, generations_, in_use);
    if (swept > 0) spdlog::info("swept {} generations that nothing refers to", swept);
  } catch (const std::exception& error) {
    spdlog::warn("cannot sweep old generations, the next start tries again: {}", error.what());
  }
}

}  // namespace vitrine::engine
