#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "engine/experiment_grid.h"
#include "engine/experiment_measure.h"
#include "engine/indexing.h"
#include "engine/target.h"

/// Approximate against exact search over a catalog's own embeddings: which kind of index with which
/// parameters finds how much, how fast, for how many bytes.
namespace vitrine::engine {

class Catalog;

/// Most queries of one experiment.
inline constexpr int kMaxExperimentQueries = 10'000;
/// Most hits of each.
inline constexpr int kMaxExperimentK = 1000;

/// What the queries are.
enum class QuerySource {
  kImages,    ///< image embeddings of products
  kCaptions,  ///< caption embeddings of products
  kBoth,      ///< half of either
  kTexts,     ///< texts that are given
  kVectors,   ///< embeddings that are given
};

/// "images", "captions", "both", "texts" or "vectors".
std::string_view to_string(QuerySource source);

struct ExperimentRequest {
  std::string catalog;
  /// The embeddings that are searched.
  Target target = Target::kImage;
  QuerySource source = QuerySource::kBoth;
  std::vector<std::string> texts;  ///< of kTexts, 1 to kMaxExperimentQueries
  /// Of kVectors: [1 to kMaxExperimentQueries, dimension], of any length but 0, finite. Of kTexts,
  /// which the engine encodes: a row a text.
  Matrix vectors;
  /// Products that are drawn for queries, always the same ones; fewer when the catalog is small.
  /// One whose target embedding is a query is held out: it is not among what is searched. At most
  /// half of the products are. Valid: [1, kMaxExperimentQueries].
  int queries = 500;
  int k = 10;  ///< hits of a query that recall is counted on, [1, kMaxExperimentK]
  /// Products that are searched, drawn from the catalog; 0: all. Fewer are faster to measure, and
  /// easier to search.
  std::size_t max_products = 0;
  Grid grid;
  /// Every way to search is measured for at least so long, in seconds. Valid: [0, 60].
  double min_seconds = 0.25;
  /// Set: an index is searched with more effort only while its recall is below.
  std::optional<double> enough_recall;

  /// Throws InvalidArgument that names the field.
  void validate() const;
};

struct ExperimentReport {
  std::string catalog;
  std::uint64_t generation = 0;
  std::uint64_t sequence = 0;  ///< the last update that was contained
  std::string target;          ///< "image" or "caption"
  std::size_t vectors = 0;     ///< that were searched
  std::size_t dimension = 0;
  std::vector<QueryGroup> queries;
  int k = 0;
  std::string instruction_set;  ///< of the CPU, as far as kernels use it
  int cores = 0;                ///< that built
  std::string created_at;       ///< ISO 8601, UTC
  double seconds = 0;           ///< of the whole run
  std::vector<Measurement> measurements;
};

/// Measures the whole grid on the calling thread; building uses `threads` OpenMP threads (0: every
/// core). scratch: an empty folder for one index's file. Memory: the vectors twice, and one index.
/// The progress's stage is kMeasuring; it counts indices built and ways to search.
/// Texts must have been encoded: request.vectors has a row for each.
/// Throws InvalidArgument, FailedPrecondition (fewer than two products), Cancelled, and what
/// building an index throws.
ExperimentReport run_experiment(const Catalog& catalog, const ExperimentRequest& request,
                                const std::filesystem::path& scratch, int threads,
                                const ProgressCallback& progress, const std::atomic<bool>* cancel);

/// For each measurement whether no other of its kind has both a better recall and more queries/s
/// (one of the two may be equal): the points of the kind's Pareto curve.
std::vector<bool> on_pareto_curve(std::span<const Measurement> measurements);

}  // namespace vitrine::engine
