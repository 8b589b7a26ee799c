#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "engine/catalog_search.h"
#include "engine/engine.h"
#include "engine/search.h"
#include "engine/timestamp.h"

namespace vitrine::engine {
namespace {

using Clock = std::chrono::steady_clock;

/// Whether an error is about the one search that met it, so that the others have their answers.
bool is_fault_of_a_search(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kResourceExhausted:
      return true;
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kFailedPrecondition:
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kCorruption:
    case ErrorCode::kUnauthenticated:
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kCancelled:
    case ErrorCode::kInternal:
      return false;
  }
  return false;
}

class Batch {
 public:
  Batch(const Engine& engine, const Catalog& catalog, ComputeSlots& slots,
        std::span<const SearchRequest> requests)
      : engine_(engine),
        catalog_(catalog),
        slots_(slots),
        requests_(requests),
        searches_(requests.size()),
        rankings_(requests.size()),
        outcomes_(requests.size()) {}

  std::vector<SearchOutcome> run() {
    const auto begin = Clock::now();
    start();
    const auto encode_begin = Clock::now();
    embed();
    const double encode_ms = milliseconds_since(encode_begin);
    const auto rank_begin = Clock::now();
    rank();
    const double rank_ms = milliseconds_since(rank_begin);
    for_each([&](std::size_t i) {
      const auto& ranking = rankings_[i];
      SearchResponse response = searches_[i]->finish(ranking ? &*ranking : nullptr);
      response.timings.encode_ms = encode_ms;
      response.timings.search_ms += rank_ms;
      response.timings.total_ms = milliseconds_since(begin);
      outcomes_[i] = std::move(response);
    });
    return std::move(outcomes_);
  }

 private:
  /// work(i) for each search that has not failed; it fails with what it throws.
  template <typename Work>
  void for_each(const Work& work) {
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (std::holds_alternative<Error>(outcomes_[i])) continue;
      try {
        work(i);
      } catch (const Error& error) {
        if (!is_fault_of_a_search(error.code())) throw;
        outcomes_[i] = error;
      }
    }
  }

  void start() {
    std::map<const Filter*, std::shared_ptr<const AllowedRows>> allowed;  // null: of no filter
    for_each([&](std::size_t i) {
      const SearchRequest& request = requests_[i];
      request.validate();
      std::shared_ptr<const AllowedRows>* known = nullptr;
      if (request.filter || !request.facets.empty()) known = &allowed[request.filter.get()];
      searches_[i] = std::make_unique<CatalogSearch>(catalog_, slots_, request,
                                                     known != nullptr ? *known : nullptr);
      if (known != nullptr) *known = searches_[i]->allowed();
    });
  }

  /// All texts in one pass of the encoder, equal ones once, and all images.
  void embed() {
    std::vector<std::string> texts;
    std::vector<std::string> images;
    std::unordered_map<std::string, std::size_t> places;  // of the texts
    for_each([&](std::size_t i) {
      for (const std::string& text : searches_[i]->texts()) {
        if (places.emplace(text, texts.size()).second) texts.push_back(text);
      }
      images.insert(images.end(), searches_[i]->images().begin(), searches_[i]->images().end());
    });
    EncodedTexts encoded_texts;
    Matrix encoded_images;
    try {
      encoded_texts = engine_.encode_texts(texts);
      encoded_images = engine_.encode_images(images);
    } catch (const Error& error) {
      if (!is_fault_of_a_search(error.code())) throw;
      // One by one, to know whose text or image it is.
      for_each([&](std::size_t i) {
        CatalogSearch& search = *searches_[i];
        search.embed(engine_.encode_texts(search.texts()), engine_.encode_images(search.images()));
      });
      return;
    }
    std::size_t image = 0;
    for_each([&](std::size_t i) {
      CatalogSearch& search = *searches_[i];
      EncodedTexts own{Matrix(search.texts().size(), catalog_.dimension()), {}};
      for (std::size_t t = 0; t < search.texts().size(); ++t) {
        const std::size_t place = places.at(search.texts()[t]);
        std::ranges::copy(encoded_texts.embeddings.row(place), own.embeddings.row(t).begin());
        own.lengths.push_back(encoded_texts.lengths[place]);
      }
      Matrix own_images(search.images().size(), catalog_.dimension());
      for (std::size_t row = 0; row < own_images.rows(); ++row) {
        std::ranges::copy(encoded_images.row(image++), own_images.row(row).begin());
      }
      search.embed(std::move(own), own_images);
    });
  }

  /// Searches that differ in nothing but their query search the index as one matrix.
  void rank() {
    using Key = std::tuple<Target, std::size_t, bool, int, int, int, const AllowedRows*>;
    std::map<Key, std::vector<std::size_t>> groups;
    for_each([&](std::size_t i) {
      const CatalogSearch& search = *searches_[i];
      if (!search.ranks_one_target()) return;
      groups[Key(search.request().target, search.first_k(), search.options().exact,
                 search.options().nprobe, search.options().ef_search, search.options().rescore,
                 search.allowed().get())]
          .push_back(i);
    });
    for (const auto& [key, members] : groups) {
      if (members.size() > 1) rank_group(members);
    }
  }

  void rank_group(const std::vector<std::size_t>& members) {
    Matrix queries(members.size(), catalog_.dimension());
    for (std::size_t row = 0; row < members.size(); ++row) {
      std::ranges::copy(searches_[members[row]]->query().row(0), queries.row(row).begin());
    }
    const CatalogSearch& any = *searches_[members.front()];
    const ComputeSlots::Slot slot(slots_);
    const index::SearchResult found =
        catalog_.search(any.request().target, queries, static_cast<int>(any.first_k()),
                        any.options(), any.delta_allowed());
    for (std::size_t row = 0; row < members.size(); ++row) {
      rankings_[members[row]] = ranked_rows(found, row);
    }
  }

  const Engine& engine_;
  const Catalog& catalog_;
  ComputeSlots& slots_;
  const std::span<const SearchRequest> requests_;
  std::vector<std::unique_ptr<CatalogSearch>> searches_;
  std::vector<std::optional<std::vector<RankedRow>>> rankings_;
  std::vector<SearchOutcome> outcomes_;
};

}  // namespace

std::vector<SearchOutcome> search_batch(const Engine& engine, const Catalog& catalog,
                                        ComputeSlots& slots,
                                        std::span<const SearchRequest> requests) {
  return Batch(engine, catalog, slots, requests).run();
}

}  // namespace vitrine::engine
