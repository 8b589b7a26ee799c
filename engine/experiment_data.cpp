#include "engine/experiment_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>
#include <utility>

#include "base/error.h"
#include "engine/catalog.h"
#include "engine/vectors.h"

namespace vitrine::engine {
namespace {

Matrix unit_queries(const Matrix& given, std::size_t dimension) {
  if (given.cols() != dimension) {
    throw invalid_argument(fmt::format("the queries have {} columns; the embeddings have {}",
                                       given.cols(), dimension));
  }
  Matrix queries = given;
  for (std::size_t row = 0; row < queries.rows(); ++row) {
    if (!normalise_row(queries.row(row))) {
      throw invalid_argument(
          fmt::format("query {} has values that are not finite, or only zeros", row));
    }
  }
  return queries;
}

Matrix rows_of(const Catalog& catalog, Target target, const std::vector<std::size_t>& rows,
               const std::atomic<bool>* cancel) {
  constexpr std::size_t kRowsBetweenLooks = 4096;
  Matrix matrix(rows.size(), catalog.dimension());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i % kRowsBetweenLooks == 0) throw_if_cancelled(cancel);
    std::ranges::copy(catalog.vector(target, rows[i]), matrix.row(i).begin());
  }
  return matrix;
}

/// Products that are queries, by which of their embeddings is.
struct DrawnQueries {
  std::vector<std::size_t> images;
  std::vector<std::size_t> captions;
};

/// shuffled: the live rows.
DrawnQueries draw_queries(const ExperimentRequest& request,
                          const std::vector<std::size_t>& shuffled) {
  const bool images = request.source == QuerySource::kImages;
  const bool captions = request.source == QuerySource::kCaptions;
  DrawnQueries drawn;
  if (!images && !captions && request.source != QuerySource::kBoth) return drawn;
  const std::size_t count =
      std::min(static_cast<std::size_t>(request.queries), shuffled.size() / 2);
  const std::size_t of_images = images ? count : captions ? 0 : (count + 1) / 2;
  for (std::size_t i = 0; i < count; ++i) {
    (i < of_images ? drawn.images : drawn.captions).push_back(shuffled[i]);
  }
  return drawn;
}

}  // namespace

TestData draw_test_data(const Catalog& catalog, const ExperimentRequest& request,
                        const std::atomic<bool>* cancel) {
  std::vector<std::size_t> live = catalog.live_rows();
  if (live.size() < 2) {
    throw failed_precondition(fmt::format(
        "catalog {} has {} products; an experiment needs 2 at least", catalog.name(), live.size()));
  }
  std::vector<std::size_t> shuffled = live;
  std::ranges::shuffle(shuffled, std::mt19937_64(20240229));
  const DrawnQueries drawn = draw_queries(request, shuffled);

  // What is searched: all but the products whose own embedding there is a query.
  const auto& held_out = request.target == Target::kImage ? drawn.images : drawn.captions;
  const std::set<std::size_t> without(held_out.begin(), held_out.end());
  if (request.max_products > 0 && request.max_products < live.size()) {
    // From the end of the shuffled rows: the queries are at its beginning.
    live.assign(shuffled.end() - static_cast<std::ptrdiff_t>(request.max_products), shuffled.end());
    std::ranges::sort(live);
  }
  std::erase_if(live, [&](std::size_t row) { return without.contains(row); });
  if (live.size() < static_cast<std::size_t>(request.k)) {
    throw invalid_argument(fmt::format(
        "k is {}, but only {} products are left to be searched, {} being held out as queries",
        request.k, live.size(), without.size()));
  }

  TestData data;
  if (request.source == QuerySource::kTexts || request.source == QuerySource::kVectors) {
    data.queries = unit_queries(request.vectors, catalog.dimension());
    data.groups = {{std::string(to_string(request.source)), data.queries.rows()}};
  } else {
    data.queries = Matrix(drawn.images.size() + drawn.captions.size(), catalog.dimension());
    const Matrix images = rows_of(catalog, Target::kImage, drawn.images, cancel);
    const Matrix captions = rows_of(catalog, Target::kCaption, drawn.captions, cancel);
    float* next = std::copy(images.data(), images.data() + images.rows() * images.cols(),
                            data.queries.data());
    std::copy(captions.data(), captions.data() + captions.rows() * captions.cols(), next);
    if (!drawn.images.empty()) data.groups.push_back({"images", drawn.images.size()});
    if (!drawn.captions.empty()) data.groups.push_back({"captions", drawn.captions.size()});
  }
  data.vectors = rows_of(catalog, request.target, live, cancel);
  return data;
}

}  // namespace vitrine::engine
