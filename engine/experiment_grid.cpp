#include "engine/experiment_grid.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::engine {
namespace {

using index::IndexSpec;
using index::SearchOptions;

/// Some square roots of the number of vectors, where a search of lists costs least.
std::vector<int> default_nlist(std::size_t vectors) {
  const double root = std::sqrt(static_cast<double>(vectors));
  const int few = std::max(1, static_cast<int>(std::lround(root)));
  return {few, 4 * few};
}

std::vector<int> default_nprobe(std::size_t /*vectors*/) { return {1, 2, 4, 8, 16, 32, 64}; }
std::vector<int> default_hnsw_m(std::size_t /*vectors*/) { return {16, 32}; }
std::vector<int> default_ef_construction(std::size_t /*vectors*/) { return {100, 200}; }
std::vector<int> default_pq_bytes(std::size_t /*vectors*/) { return {64}; }
std::vector<int> default_rescore(std::size_t /*vectors*/) { return {10, 30}; }
std::vector<int> default_ef_search(std::size_t /*vectors*/) {
  return {10, 16, 24, 32, 48, 64, 96, 128, 256};
}

constexpr GridParameter kParameters[] = {
    {"nlist", "ivf, ivf_pq: lists", &IndexSpec::nlist, nullptr, default_nlist},
    {"nprobe", "ivf, ivf_pq: lists visited", nullptr, &SearchOptions::nprobe, default_nprobe},
    {"hnsw_m", "hnsw: links of a node", &IndexSpec::hnsw_m, nullptr, default_hnsw_m},
    {"ef_construction", "hnsw: beam width while building", &IndexSpec::ef_construction, nullptr,
     default_ef_construction},
    {"ef_search", "hnsw: beam width", nullptr, &SearchOptions::ef_search, default_ef_search},
    {"pq_bytes", "ivf_pq: bytes of a code", &IndexSpec::pq_bytes, nullptr, default_pq_bytes},
    {"rescore", "ivf_pq: vectors compared in float32 for each hit", nullptr,
     &SearchOptions::rescore, default_rescore},
};

struct KindParameters {
  std::string_view kind;
  std::vector<std::string_view> names;
};

/// Which of them concern a kind. Every field of a kind that is varied has a place here.
const std::vector<KindParameters>& kind_parameters() {
  static const std::vector<KindParameters> kKinds = {
      {"flat", {}},
      {"ivf", {"nlist", "nprobe"}},
      {"ivf_pq", {"nlist", "pq_bytes", "nprobe", "rescore"}},
      {"hnsw", {"hnsw_m", "ef_construction", "ef_search"}},
  };
  return kKinds;
}

const GridParameter* find_parameter(std::string_view name) {
  const auto found = std::ranges::find(kParameters, name, &GridParameter::name);
  return found == std::end(kParameters) ? nullptr : found;
}

/// In the order of the registry, each once.
std::vector<std::string> kinds_of(const Grid& grid) {
  std::vector<std::string> kinds = index::index_kinds();
  std::erase_if(kinds, [&](const std::string& kind) {
    return !grid.kinds.empty() && std::ranges::find(grid.kinds, kind) == grid.kinds.end();
  });
  return kinds;
}

/// The values of a parameter, ascending, each once.
std::vector<int> values_to_try(const Grid& grid, const GridParameter& parameter,
                               std::size_t vectors) {
  const auto given = grid.values.find(parameter.name);
  std::vector<int> values =
      given == grid.values.end() ? parameter.defaults(vectors) : given->second;
  std::ranges::sort(values);
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

/// Each of `all` with each of the values in the field.
template <class Options>
std::vector<Options> multiplied(const std::vector<Options>& all, int Options::*field,
                                const std::vector<int>& values) {
  if (all.size() * values.size() > kMaxMeasurements) {
    throw invalid_argument(fmt::format(
        "the grid has more than {} combinations; try fewer values or kinds", kMaxMeasurements));
  }
  std::vector<Options> result;
  for (const Options& one : all) {
    for (const int value : values) {
      result.push_back(one);
      result.back().*field = value;
    }
  }
  return result;
}

}  // namespace

std::span<const GridParameter> grid_parameters() { return kParameters; }

std::vector<const GridParameter*> parameters_of(std::string_view kind) {
  std::vector<const GridParameter*> parameters;
  const auto found = std::ranges::find(kind_parameters(), kind, &KindParameters::kind);
  if (found == kind_parameters().end()) return parameters;
  for (const std::string_view name : found->names) parameters.push_back(find_parameter(name));
  std::stable_partition(parameters.begin(), parameters.end(),
                        [](const GridParameter* p) { return p->build != nullptr; });
  return parameters;
}

ParameterValues values_of(const IndexSpec& spec, const SearchOptions& search) {
  ParameterValues values;
  for (const GridParameter* parameter : parameters_of(spec.kind)) {
    const int value =
        parameter->build != nullptr ? spec.*(parameter->build) : search.*(parameter->search);
    values.emplace_back(parameter->name, value);
  }
  return values;
}

std::string describe(const IndexSpec& spec, const SearchOptions& search) {
  std::string text = spec.kind;
  for (const auto& [name, value] : values_of(spec, search)) {
    text += fmt::format(" {}={}", name, value);
  }
  return text;
}

void Grid::validate() const {
  const std::vector<std::string> known = index::index_kinds();
  for (const std::string& kind : kinds) {
    if (std::ranges::find(known, kind) == known.end()) {
      throw invalid_argument(fmt::format("kinds names \"{}\"; a kind is one of {}", printable(kind),
                                         fmt::join(known, ", ")));
    }
  }
  for (const auto& [name, list] : values) {
    const GridParameter* parameter = find_parameter(name);
    if (parameter == nullptr) {
      std::vector<std::string_view> names;
      for (const GridParameter& one : kParameters) names.push_back(one.name);
      throw invalid_argument(fmt::format("there is no parameter \"{}\"; there are {}",
                                         printable(name), fmt::join(names, ", ")));
    }
    if (list.empty()) throw invalid_argument(name + " has no value to try");
    for (const int value : list) {
      IndexSpec spec;
      SearchOptions search;
      if (parameter->build != nullptr) spec.*(parameter->build) = value;
      if (parameter->search != nullptr) search.*(parameter->search) = value;
      spec.validate();
      search.validate();
    }
  }
}

std::vector<GridBuild> expand(const Grid& grid, std::size_t vectors) {
  grid.validate();
  std::vector<GridBuild> builds;
  std::size_t measurements = 0;
  for (const std::string& kind : kinds_of(grid)) {
    std::vector<IndexSpec> specs(1);
    specs[0].kind = kind;
    std::vector<SearchOptions> searches(1);
    for (const GridParameter* parameter : parameters_of(kind)) {
      const std::vector<int> values = values_to_try(grid, *parameter, vectors);
      if (parameter->build != nullptr) specs = multiplied(specs, parameter->build, values);
      if (parameter->search != nullptr) searches = multiplied(searches, parameter->search, values);
    }
    measurements += specs.size() * searches.size();
    if (builds.size() + specs.size() > kMaxBuilds || measurements > kMaxMeasurements) {
      throw invalid_argument(fmt::format(
          "the grid has more than {} indices to build or {} ways to search them; try fewer values "
          "or kinds",
          kMaxBuilds, kMaxMeasurements));
    }
    for (const IndexSpec& spec : specs) builds.push_back({spec, searches});
  }
  return builds;
}

}  // namespace vitrine::engine
