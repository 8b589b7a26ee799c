#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "index/vector_index.h"

/// Which indices an experiment builds, and how it searches each of them.
namespace vitrine::engine {

/// Most indices that one experiment builds.
inline constexpr std::size_t kMaxBuilds = 100;
/// Most ways to search that it measures, over all indices.
inline constexpr std::size_t kMaxMeasurements = 2000;

/// A parameter that is varied: a field of how an index is built or of how it is searched. Its range
/// is the field's.
struct GridParameter {
  std::string_view name;  ///< of the field
  std::string_view help;
  int index::IndexSpec::*build = nullptr;  ///< this or `search` is set
  int index::SearchOptions::*search = nullptr;
  /// Ascending; what is tried unless the request says otherwise.
  std::vector<int> (*defaults)(std::size_t vectors) = nullptr;
};

/// Every parameter. To vary another one: a line in experiment_grid.cpp.
std::span<const GridParameter> grid_parameters();

/// The parameters of a kind, those of building first. None for a kind without a line in
/// experiment_grid.cpp: it is built and searched once, with the defaults of its fields.
std::vector<const GridParameter*> parameters_of(std::string_view kind);

/// The parameters of the spec's kind with their values, such as {{"hnsw_m", 16}, ...}.
using ParameterValues = std::vector<std::pair<std::string, int>>;
ParameterValues values_of(const index::IndexSpec& spec, const index::SearchOptions& search);

/// "hnsw hnsw_m=16 ef_construction=200 ef_search=64"
std::string describe(const index::IndexSpec& spec, const index::SearchOptions& search);

struct Grid {
  /// Of index::index_kinds(). Empty: all of them.
  std::vector<std::string> kinds;
  /// Values to try by the parameter's name; a parameter that is not named has its defaults.
  std::map<std::string, std::vector<int>, std::less<>> values;

  /// Throws InvalidArgument that names the kind, the parameter or its value.
  void validate() const;
};

/// An index to build, and the ways to search it in ascending order of effort.
struct GridBuild {
  index::IndexSpec spec;
  std::vector<index::SearchOptions> searches;
};

/// Every combination, kind by kind. Throws as validate() does, and InvalidArgument when there are
/// more than kMaxBuilds or kMaxMeasurements.
std::vector<GridBuild> expand(const Grid& grid, std::size_t vectors);

}  // namespace vitrine::engine
