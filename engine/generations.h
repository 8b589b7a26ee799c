#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vitrine::engine {

/// A generation of a catalog that is kept on disk.
struct GenerationSummary {
  std::uint64_t generation = 0;
  bool served = false;       ///< whether it answers queries
  std::string problem;       ///< why it cannot; all below is empty then
  std::size_t products = 0;  ///< without live updates
  std::string index_kind;
  std::string catalog_file;  ///< that it was indexed from
  std::string created_at;    ///< ISO 8601, UTC
  std::string encoder_fingerprint;
};

}  // namespace vitrine::engine
