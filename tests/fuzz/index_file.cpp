// An index file without the digest at its end, which is made here: a fuzzer would never find one
// that fits, and what lies behind it would stay unseen.

#include <cmath>
#include <cstdint>

#include "base/checksum.h"
#include "base/sha256.h"
#include "index/vector_index.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {
namespace {

void check_search(const index::VectorIndex& index, const index::SearchOptions& options) {
  Matrix query(1, index.dimension());
  query.row(0)[0] = 1;
  constexpr int k = 5;
  const index::SearchResult result = index.search(query, k, options);
  require(result.rows.size() == k && result.scores.size() == k, "a search has not k hits");
  for (const std::int64_t row : result.rows) {
    require(row >= index::kNoRow && row < static_cast<std::int64_t>(index.size()),
            "a hit is not in the index");
  }
}

}  // namespace

void run(std::string_view input) {
  const std::filesystem::path path = scratch_folder() / "index.faiss";
  const Sha256Digest digest = digest_of(input);
  std::string file(input);
  write_scratch(path, file.append(reinterpret_cast<const char*>(digest.data()), digest.size()));
  refusable([&] {
    const auto index = index::open_index(path);
    require(index->size() > 0 && index->dimension() > 0, "an index is empty");
    require(index->vector(0).size() == index->dimension(), "a vector has another dimension");
    check_search(*index, {});
    index::SearchOptions exact;
    exact.exact = true;
    check_search(*index, exact);
  });
}

}  // namespace vitrine::fuzz
