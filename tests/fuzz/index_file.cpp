// FAISS's part of an index file. The checksum that follows it is made here: a fuzzer would never
// find one that fits, and what lies behind it would stay unseen.

#include <cmath>
#include <cstdint>

#include "base/sha256.h"
#include "index/vector_index.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {
namespace {

/// As index/faiss_file.h describes it.
std::string with_trailer(std::string_view payload) {
  std::string file(payload);
  file += "VITRINE-INDEX-1\n";
  for (int i = 0; i < 8; ++i) file += static_cast<char>(payload.size() >> (8 * i));
  const Sha256Digest digest = sha256(file);
  return file.append(reinterpret_cast<const char*>(digest.data()), digest.size());
}

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
  write_scratch(path, with_trailer(input));
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
