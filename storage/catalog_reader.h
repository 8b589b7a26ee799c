#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <istream>
#include <string>
#include <vector>

#include "storage/product.h"

namespace vitrine::storage {

/// What a record must have.
enum class RequiredFields {
  kAll,           ///< id, image and caption
  kIdAndCaption,  ///< of a product whose image's embedding is known
  kId,            ///< of a change to a product; what is left out is empty in the Product
};

/// A record that did not become a product. The rest of the catalog is read all the same.
struct BadRecord {
  std::uint64_t record = 0;  ///< 1-based: array element (.json), line that is not blank (.jsonl),
                             ///< record after the header row (.csv)
  std::string id;            ///< printable; empty when it could not be read
  std::string reason;        ///< what is wrong and what would be right; names file and record
};

/// Reads a catalog file record by record; memory stays bounded by one record plus the ids seen.
/// The extension chooses the format:
///   .json            an array of objects
///   .jsonl, .ndjson  one object a line, blank lines skipped
///   .csv             RFC 4180 with a header row (quoted fields, line breaks in them, BOM, CRLF)
/// Keys or columns `id` (string or integer), `image` and `caption` are required, and not empty; all
/// others become attributes. A CSV field that is a number as JSON prints it (12, -1.5; not
/// 007, 1.10 or 12E4) becomes a number attribute, an empty one none, any other a string.
///
/// Exactly one callback a record, in file order, on the calling thread; what a callback throws
/// ends the reading. A missing or malformed field, invalid UTF-8, half of a surrogate pair, a
/// number too large for a double, an exceeded limit or an id seen before is a bad record (of two
/// equal ids the first stays a product).
/// required: the fields that a record must have.
/// Returns the number of records. Throws InvalidArgument when the file as a whole is no catalog:
/// unknown extension, no records, broken JSON array or CSV quoting, missing column;
/// ResourceExhausted for one JSON array element of more than 16 MiB; NotFound,
/// PermissionDenied or Unavailable when it cannot be read.
std::uint64_t read_catalog(const std::filesystem::path& path,
                           const std::function<void(Product&&)>& on_product,
                           const std::function<void(BadRecord&&)>& on_bad,
                           RequiredFields required = RequiredFields::kAll);

/// The same of JSON lines from a stream. name: what it is, for messages.
std::uint64_t read_catalog_lines(std::istream& lines, const std::filesystem::path& name,
                                 const std::function<void(Product&&)>& on_product,
                                 const std::function<void(BadRecord&&)>& on_bad,
                                 RequiredFields required = RequiredFields::kAll);

/// The extensions read_catalog knows, with their dots.
std::vector<std::string> catalog_extensions();

}  // namespace vitrine::storage
