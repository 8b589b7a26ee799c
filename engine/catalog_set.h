#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/catalog.h"
#include "engine/generations.h"
#include "engine/update_queue.h"
#include "engine/updates.h"
#include "storage/database.h"
#include "storage/generation_store.h"

namespace vitrine::engine {

/// The current snapshot of every catalog in a data folder: its generation and the updates on top.
/// The only place that changes either. Thread-safe. A reader never waits for a reindex or a writer:
/// it copies a shared_ptr.
class CatalogSet {
 public:
  /// database and generations must outlive the set. Sweeps what a crash left behind and opens every
  /// catalog with its updates. One whose current generation cannot be opened is served from the
  /// newest previous one that can, with every update that one does not cover.
  CatalogSet(storage::Database& database, storage::GenerationStore& generations,
             GenerationOptions options);
  CatalogSet(const CatalogSet&) = delete;
  CatalogSet& operator=(const CatalogSet&) = delete;

  struct Entry {
    std::shared_ptr<const Catalog> catalog;  ///< null: no generation could be opened
    std::string problem;                     ///< empty: the current generation is served
    /// Of the problem: Corruption, unless a generation could not be opened for a reason that may
    /// pass, as that there are too many open files.
    ErrorCode code = ErrorCode::kCorruption;
    std::set<std::uint64_t> damaged;  ///< generations that can never be served
    std::string loss;                 ///< empty, or why updates may be missing from what is served
  };

  /// Throws NotFound, or what the entry's problem is when no generation could be opened.
  std::shared_ptr<const Catalog> find(std::string_view name) const;
  std::map<std::string, Entry, std::less<>> entries() const;
  /// What the catalog was indexed from last, also when no generation of it can be served. Throws
  /// NotFound, or FailedPrecondition when no generation is left that says so.
  IndexRequest last_request(const std::string& name) const;

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

  /// Opens and verifies the finished draft, puts the updates on top that it does not cover, makes
  /// it current on disk and then in memory. What is neither among the `keep` newest generations nor
  /// held by a reader is swept with the draft, and so is what was rolled back from.
  std::shared_ptr<const Catalog> publish(const Draft& draft, int keep);

  /// What is kept of a catalog: first the generation that is to be served, then those that can take
  /// its place. Throws NotFound.
  std::vector<GenerationSummary> generations(const std::string& name) const;

  /// Makes a generation that is kept the current one, with every update that it does not cover on
  /// top: the newest sound one before the current, or that of the given number, which may also be a
  /// newer one. Others stay as they are. Not beside a build or publish() of the same catalog.
  /// Throws NotFound for a catalog that does not exist, FailedPrecondition when there is no such
  /// generation, it is served already or another encoder's, Corruption when that of the given
  /// number is damaged; nothing has changed then.
  std::shared_ptr<const Catalog> roll_back(const std::string& name,
                                           std::optional<std::uint64_t> number,
                                           const std::string& fingerprint);

  /// The last update that the catalog contains; what a generation covers that is made from anything
  /// that was read later. 0 for a catalog that does not exist.
  std::uint64_t sequence(const std::string& name) const;

  /// Writes the updates, all or none, in one fsynced write that concurrent calls share, and makes
  /// them visible. fingerprint: of the encoder that made their embeddings, which is the catalog's.
  /// Throws NotFound for a deletion of what is not there, InvalidArgument for a new product that
  /// lacks something, FailedPrecondition while the delta has max_rows or more.
  std::vector<UpdateResult> update(const std::string& name, const std::string& fingerprint,
                                   std::span<const PreparedUpdate> updates, std::size_t max_rows);

  /// The catalog was read from its file since what was lost: no update is missing from it.
  void forget_loss(const std::string& name);

  /// Forgets the updates that every kept generation covers, and the uploads that nothing names.
  /// Not beside a build or publish() of the same catalog. Trouble is logged.
  void tidy(const std::string& name);

 private:
  struct Snapshot {
    std::string catalog;
    std::uint64_t generation = 0;
    std::weak_ptr<const void> lifetime;
  };

  Entry open_newest_intact(const std::string& name, const storage::CatalogPointer& pointer);
  /// The catalog with all stored updates that it does not contain.
  std::shared_ptr<const Catalog> with_stored_updates(
      const std::shared_ptr<const Catalog>& catalog) const;
  std::optional<std::uint64_t> served_generation(const std::string& name) const;
  /// The generations that are kept, but for those that can never be served.
  std::vector<std::uint64_t> kept_and_sound(const std::string& name,
                                            const storage::CatalogPointer& pointer) const;
  /// A generation that is kept. Throws as roll_back().
  std::shared_ptr<const Catalog> open_kept(const std::string& name, std::uint64_t number,
                                           const storage::CatalogPointer& pointer);
  /// The newest that is older than the pointer's; those that turn out to be damaged are passed
  /// over.
  std::shared_ptr<const Catalog> open_before(const std::string& name,
                                             const storage::CatalogPointer& pointer);
  /// Puts the updates on top that the opened generation does not cover, and makes it current, on
  /// disk and then in memory.
  std::shared_ptr<const Catalog> make_current(storage::CatalogPointer pointer,
                                              std::shared_ptr<const Catalog> opened);
  void commit(const std::string& name, const std::string& fingerprint, std::size_t max_rows,
              UpdateQueue& queue, std::span<UpdateQueue::Request* const> requests);
  std::shared_ptr<UpdateQueue> queue_of(const std::string& name);
  void forget_covered_updates(const std::string& name);
  void sweep_uploads(const std::string& name);
  void sweep();

  storage::Database& database_;
  storage::GenerationStore& generations_;
  const GenerationOptions options_;

  // Held while generations are begun or swept, so that a new folder is never taken for a leftover.
  // Locked before mutex_.
  std::mutex sweep_mutex_;

  mutable std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;  // guarded by mutex_
  storage::GenerationSet drafts_;                      // guarded by mutex_
  std::vector<Snapshot> snapshots_;                    // guarded by mutex_; all ever served
  std::map<std::string, std::shared_ptr<UpdateQueue>> queues_;  // guarded by mutex_
};

}  // namespace vitrine::engine
