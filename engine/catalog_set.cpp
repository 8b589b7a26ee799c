#include "engine/catalog_set.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::engine {

CatalogSet::CatalogSet(storage::Database& database, storage::GenerationStore& generations)
    : database_(database), generations_(generations) {
  sweep();
  for (const auto& [name, pointer] : database_.list_pointers()) {
    Entry entry = open_newest_intact(name, pointer);
    if (!entry.problem.empty()) spdlog::error("catalog {}: {}", name, entry.problem);
    if (entry.catalog) {
      spdlog::info("catalog {}: generation {} with {} products ({})", name,
                   entry.catalog->generation(), entry.catalog->size(), entry.catalog->index_kind());
      snapshots_.push_back(entry.catalog);
    }
    entries_.emplace(name, std::move(entry));
  }
}

CatalogSet::Entry CatalogSet::open_newest_intact(const std::string& name,
                                                 const storage::CatalogPointer& pointer) {
  std::vector<std::uint64_t> candidates = {pointer.generation};
  candidates.insert(candidates.end(), pointer.previous.begin(), pointer.previous.end());
  Entry entry;
  for (const std::uint64_t generation : candidates) {
    try {
      entry.catalog = Catalog::open(generations_, database_, name, generation);
      if (!entry.problem.empty()) {
        entry.problem += fmt::format("; generation {} is served instead", generation);
      }
      return entry;
    } catch (const Error& error) {
      entry.problem += fmt::format("{}generation {} cannot be opened: {}",
                                   entry.problem.empty() ? "" : "; ", generation, error.what());
    }
  }
  entry.problem += "; no generation is intact, the catalog must be indexed anew";
  return entry;
}

std::shared_ptr<const Catalog> CatalogSet::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw not_found(fmt::format("there is no catalog \"{}\"", printable(name)));
  }
  if (!found->second.catalog) {
    throw corruption(fmt::format("catalog {}: {}", name, found->second.problem));
  }
  return found->second.catalog;
}

std::map<std::string, CatalogSet::Entry, std::less<>> CatalogSet::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_;
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
  const std::uint64_t number = draft.generation();
  std::shared_ptr<const Catalog> built = Catalog::open(generations_, database_, name, number);

  storage::CatalogPointer pointer{number, {}};
  if (const auto old = database_.get_pointer(name)) {
    pointer.previous.push_back(old->generation);
    pointer.previous.insert(pointer.previous.end(), old->previous.begin(), old->previous.end());
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(name);
    if (entry != entries_.end() && entry->second.catalog) {
      // Newer than what is served means damaged: of no use to roll back to.
      const std::uint64_t served = entry->second.catalog->generation();
      std::erase_if(pointer.previous, [served](std::uint64_t g) { return g > served; });
    }
    pointer.previous.resize(std::min(pointer.previous.size(), static_cast<std::size_t>(keep) - 1));
  }
  database_.publish_generation(name, pointer);

  Entry entry{built, ""};  // then the old one, which is let go of without the lock
  const std::lock_guard lock(mutex_);
  std::swap(entries_[name], entry);
  snapshots_.push_back(built);
  return built;
}

void CatalogSet::sweep() {
  const std::lock_guard sweep_lock(sweep_mutex_);
  storage::GenerationSet in_use;
  {
    const std::lock_guard lock(mutex_);
    in_use = drafts_;
    std::erase_if(snapshots_, [](const auto& snapshot) { return snapshot.expired(); });
    for (const auto& weak : snapshots_) {
      if (const auto snapshot = weak.lock()) {
        in_use[snapshot->name()].insert(snapshot->generation());
      }
    }
  }
  try {
    const std::size_t swept = storage::sweep_generations(database_, generations_, in_use);
    if (swept > 0) spdlog::info("swept {} generations that nothing refers to", swept);
  } catch (const std::exception& error) {
    spdlog::warn("cannot sweep old generations, the next start tries again: {}", error.what());
  }
}

}  // namespace vitrine::engine
