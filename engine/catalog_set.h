#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/catalog.h"
#include "storage/database.h"
#include "storage/generation_store.h"

namespace vitrine::engine {

/// The current generation of every catalog in a data folder, and the only place that changes which
/// one that is. Thread-safe. A reader never waits for a reindex: it copies a shared_ptr.
class CatalogSet {
 public:
  /// Both must outlive the set. Sweeps what a crash left behind and opens every catalog. One whose
  /// current generation is damaged is served from the newest intact previous one.
  CatalogSet(storage::Database& database, storage::GenerationStore& generations);
  CatalogSet(const CatalogSet&) = delete;
  CatalogSet& operator=(const CatalogSet&) = delete;

  struct Entry {
    std::shared_ptr<const Catalog> catalog;  ///< null: no generation is intact
    std::string problem;                     ///< empty: the current generation is served
  };

  /// Throws NotFound, or Corruption when no generation is intact.
  std::shared_ptr<const Catalog> find(std::string_view name) const;
  std::map<std::string, Entry, std::less<>> entries() const;

  /// A generation that is being built; what is not published is swept on destruction.
  class Draft {
   public:
    ~Draft();
    Draft(const Draft&) = delete;
    Draft& operator=(const Draft&) = delete;

    std::uint64_t generation() const { return generation_.number; }
    const std::filesystem::path& folder() const { return generation_.folder; }

   private:
    friend class CatalogSet;
    Draft(CatalogSet& set, std::string catalog, storage::GenerationStore::NewGeneration generation)
        : set_(set), catalog_(std::move(catalog)), generation_(std::move(generation)) {}

    CatalogSet& set_;
    const std::string catalog_;
    const storage::GenerationStore::NewGeneration generation_;
  };
  std::unique_ptr<Draft> begin(const std::string& catalog);

  /// Opens and verifies the finished draft, makes it current on disk and then in memory, and sweeps
  /// what is neither among the `keep` newest generations nor held by a reader.
  std::shared_ptr<const Catalog> publish(const Draft& draft, int keep);

 private:
  Entry open_newest_intact(const std::string& name, const storage::CatalogPointer& pointer);
  void sweep();

  storage::Database& database_;
  storage::GenerationStore& generations_;

  // Held while generations are begun or swept, so that a new folder is never taken for a leftover.
  // Locked before mutex_.
  std::mutex sweep_mutex_;

  mutable std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;    // guarded by mutex_
  storage::GenerationSet drafts_;                        // guarded by mutex_
  std::vector<std::weak_ptr<const Catalog>> snapshots_;  // guarded by mutex_; all ever handed out
};

}  // namespace vitrine::engine
