#include "index/faiss_file.h"

#include <faiss/Index.h>
#include <faiss/IndexFlat.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "index/byte_cursor.h"
#include "index/kernels/code_dot.h"
#include "index/padding.h"

namespace vitrine::index {
namespace {

constexpr std::string_view kMagic = "VITRINE-INDEX-3\n";
constexpr std::size_t kSizeBytes = 8;
constexpr std::size_t kDigestBytes = sizeof(Sha256Digest);
constexpr std::size_t kTrailerBytes = kMagic.size() + 3 * kSizeBytes + kDigestBytes;

// FAISS's header of an index (faiss/impl/index_write.cpp): a name of four letters, d (int32),
// ntotal (int64), 17 more bytes, the metric (int32), and for flat ones the number of elements
// (uint64). One that refines hits by the vectors of a flat one ends with its factor (float32).
constexpr std::string_view kFlatName = "IxFI";
constexpr std::string_view kGraphName = "IHNf";
constexpr std::string_view kRefiningName = "IxRF";
constexpr std::size_t kDimensionAt = 4;
constexpr std::size_t kRowsAt = 8;
constexpr std::size_t kMetricAt = 33;
constexpr std::size_t kHeaderBytes = 37;
constexpr std::size_t kFlatHeaderBytes = 45;
constexpr std::size_t kFactorBytes = 4;
// An ivf index goes on with the number of its lists and nprobe (uint64 both), its centroids as a
// flat index, a map of rows that is empty (a byte and a number of int64), and its lists: "ilar",
// their number, the bytes of a vector (uint64 both), the size of each as "full" or of those that
// are not empty as "sprs" (a number of uint64, of number and size in turn); then of each list the
// vectors and their rows (int64).
constexpr std::string_view kListsName = "IwFl";
constexpr std::string_view kArrayListsName = "ilar";
constexpr std::string_view kAllSizesName = "full";
constexpr std::string_view kSomeSizesName = "sprs";
constexpr std::string_view kNoListsName = "il00";
constexpr std::size_t kRowBytes = 8;

template <class Number>
Number number_at(std::string_view bytes, std::size_t at) {
  Number number;
  std::memcpy(&number, bytes.data() + at, sizeof(number));
  return number;
}

void append_size(std::string& bytes, std::uint64_t size) {
  bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
}

std::string_view as_bytes(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

/// Gathers many small writes into pieces of the digest, and passes them on.
class DigestingWriter {
 public:
  explicit DigestingWriter(AtomicFile& file) : file_(file) { piece_.reserve(kPieceBytes); }

  void write(std::string_view bytes) {
    written_ += bytes.size();
    while (!bytes.empty()) {
      const std::size_t count = std::min(bytes.size(), kPieceBytes - piece_.size());
      piece_.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (piece_.size() == kPieceBytes) flush();
    }
  }

  std::uint64_t written() const { return written_; }

  /// To be called once, at the end.
  void write_digest() {
    if (!piece_.empty()) flush();
    file_.write(as_bytes(digest_.finish()));
  }

 private:
  void flush() {
    digest_.add_piece(piece_);
    file_.write(piece_);
    piece_.clear();
  }

  AtomicFile& file_;
  Digest digest_;
  std::string piece_;
  std::uint64_t written_ = 0;
};

/// Keeps what FAISS writes.
class StringWriter : public faiss::IOWriter {
 public:
  std::size_t operator()(const void* data, std::size_t size, std::size_t items) override {
    bytes.append(static_cast<const char*>(data), size * items);
    return items;
  }

  std::string bytes;
};

/// Gives FAISS bytes that lie in memory, in two parts. FAISS makes room for as many elements as a
/// number of 64 bits says, before it reads them: numbers that count more than `most`, the bytes
/// there are, are refused, whatever digest the file has.
class BytesReader : public faiss::IOReader {
 public:
  BytesReader(std::string_view first, std::string_view second, std::size_t most)
      : first_(first), second_(second), most_(most) {}

  std::size_t operator()(void* data, std::size_t size, std::size_t items) override {
    if (size == 0) return 0;
    const std::size_t count = std::min(items, left() / size);
    auto* out = static_cast<char*>(data);
    for (std::size_t wanted = count * size; wanted > 0;) {
      std::string_view& part = first_.empty() ? second_ : first_;
      const std::size_t some = std::min(wanted, part.size());
      std::memcpy(out, part.data(), some);
      part.remove_prefix(some);
      out += some;
      wanted -= some;
    }
    if (size == sizeof(std::uint64_t)) {
      check_numbers({static_cast<const char*>(data), count * size});
    }
    return count;
  }

  std::size_t left() const { return first_.size() + second_.size(); }

 private:
  void check_numbers(std::string_view numbers) const {
    constexpr std::uint64_t kUnused = 1 << 20;  // what FAISS writes into two fields of its header
    for (std::size_t at = 0; at < numbers.size(); at += sizeof(std::uint64_t)) {
      const auto number = number_at<std::uint64_t>(numbers, at);
      if (number > most_ && number != kUnused) {
        throw corruption(fmt::format("it counts {} of something in {} bytes", number, most_));
      }
    }
  }

  std::string_view first_;
  std::string_view second_;
  const std::size_t most_;
};

struct Parts {
  std::string_view faiss;
  std::string_view codes;
};

/// Throws Corruption unless the trailer fits the file.
Parts verified_parts(std::string_view file) {
  if (file.size() < kTrailerBytes) {
    throw corruption(fmt::format("it is truncated to {} bytes, too few for an index", file.size()));
  }
  const std::size_t body = file.size() - kTrailerBytes;
  const std::string_view trailer = file.substr(body);
  if (!can_be_read(trailer)) throw corruption("the disk does not give its end");
  if (!trailer.starts_with(kMagic)) {
    throw corruption(
        "it does not end with an index checksum, because it is truncated, damaged, or was not "
        "saved by this version of Vitrine");
  }
  if (trailer.substr(kTrailerBytes - kDigestBytes) !=
      as_bytes(digest_of(file.substr(0, file.size() - kDigestBytes)))) {
    throw corruption("it is not what was saved, its checksum is another");
  }
  const auto faiss_size = number_at<std::uint64_t>(trailer, kMagic.size());
  const auto codes_at = number_at<std::uint64_t>(trailer, kMagic.size() + kSizeBytes);
  const auto codes_bytes = number_at<std::uint64_t>(trailer, kMagic.size() + 2 * kSizeBytes);
  if (codes_at > body || codes_bytes != body - codes_at || faiss_size > codes_at ||
      codes_at % kCodeAlignment != 0) {
    throw corruption("it is not as long as when it was saved");
  }
  return {file.substr(0, faiss_size), file.substr(codes_at, codes_bytes)};
}

/// Of FAISS's bytes: once FAISS has read it, an unknown metric is an enum that none may look at.
void check_metric(std::string_view faiss_part) {
  if (faiss_part.size() < kHeaderBytes ||
      number_at<std::int32_t>(faiss_part, kMetricAt) != faiss::METRIC_INNER_PRODUCT) {
    throw corruption("its metric is not the inner product");
  }
}

/// Writes a flat index's number of vectors into its header.
void set_rows(std::string& header, std::uint64_t rows, std::uint64_t elements) {
  std::memcpy(header.data() + kRowsAt, &rows, sizeof(rows));
  std::memcpy(header.data() + kHeaderBytes, &elements, sizeof(elements));
}

/// The flat index that FAISS's bytes end with.
struct FlatInFile {
  std::string_view before;  ///< what of FAISS's bytes goes before it
  std::string header;       ///< of one without vectors
  std::size_t rows = 0;
  std::size_t dimension = 0;
  const float* vectors = nullptr;
};

/// behind: bytes that FAISS writes behind it. Throws Corruption unless it has as many vectors as
/// all of FAISS's part says.
FlatInFile flat_in(std::string_view faiss_part, std::size_t behind) {
  const std::size_t around = kFlatHeaderBytes + behind;
  if (faiss_part.size() < around) throw corruption("it is cut off");
  const auto dimension = number_at<std::int32_t>(faiss_part, kDimensionAt);
  const auto rows = number_at<std::int64_t>(faiss_part, kRowsAt);
  const std::size_t room = (faiss_part.size() - around) / sizeof(float);
  if (dimension < 1 || rows < 1 ||
      static_cast<std::uint64_t>(rows) > room / static_cast<std::uint64_t>(dimension)) {
    throw corruption(
        fmt::format("it has {} vectors of {} columns, which do not fit its size", rows, dimension));
  }
  FlatInFile flat;
  flat.rows = static_cast<std::size_t>(rows);
  flat.dimension = static_cast<std::size_t>(dimension);
  const std::size_t elements = flat.rows * flat.dimension;
  flat.before = faiss_part.substr(0, faiss_part.size() - elements * sizeof(float) - around);
  flat.header = faiss_part.substr(flat.before.size(), kFlatHeaderBytes);
  if (!flat.header.starts_with(kFlatName) ||
      number_at<std::int32_t>(flat.header, kDimensionAt) != dimension ||
      number_at<std::int64_t>(flat.header, kRowsAt) != rows ||
      number_at<std::uint64_t>(flat.header, kHeaderBytes) != elements) {
    throw corruption("its vectors do not fit their number");
  }
  set_rows(flat.header, 0, 0);
  flat.vectors =
      reinterpret_cast<const float*>(faiss_part.data() + flat.before.size() + kFlatHeaderBytes);
  return flat;
}

/// The lists at the end of FAISS's bytes.
struct ListsInFile {
  std::vector<InvertedList> lists;
  std::size_t sizes_at = 0;  ///< before the bytes that tell their sizes
};

/// faiss_part: of an ivf index. Throws Corruption unless there are lists of as many vectors as it
/// says, together.
ListsInFile lists_in(std::string_view faiss_part) {
  const auto misfit = [] { return corruption("its lists do not fit its vectors"); };
  ByteCursor from(faiss_part);
  from.take(kHeaderBytes);
  const auto dimension = number_at<std::int32_t>(faiss_part, kDimensionAt);
  const auto rows = number_at<std::uint64_t>(faiss_part, kRowsAt);
  if (dimension < 1) throw misfit();
  const std::size_t vector_bytes = static_cast<std::size_t>(dimension) * sizeof(float);
  const auto count = from.number<std::uint64_t>();
  from.number<std::uint64_t>();
  if (!from.take(kHeaderBytes).starts_with(kFlatName)) throw misfit();
  const std::string_view centroids = from.array<float>();
  if (centroids.size() % vector_bytes != 0 || centroids.size() / vector_bytes != count) {
    throw misfit();
  }
  from.number<char>();
  if (!from.array<std::int64_t>().empty() || from.take(kArrayListsName.size()) != kArrayListsName ||
      from.number<std::uint64_t>() != count || from.number<std::uint64_t>() != vector_bytes) {
    throw misfit();
  }

  ListsInFile found;
  found.sizes_at = faiss_part.size() - from.left().size();
  const std::string_view told_as = from.take(kAllSizesName.size());
  std::vector<std::uint64_t> sizes;
  from.read(sizes);
  if (told_as == kSomeSizesName) {
    std::vector<std::uint64_t> all(count, 0);
    for (std::size_t i = 0; i + 1 < sizes.size(); i += 2) {
      if (sizes[i] >= count) throw misfit();
      all[sizes[i]] = sizes[i + 1];
    }
    sizes = std::move(all);
  } else if (told_as != kAllSizesName || sizes.size() != count) {
    throw misfit();
  }
  const std::string_view lists = from.left();
  if (rows > lists.size() / (vector_bytes + kRowBytes)) throw misfit();
  std::size_t passed = 0;
  for (const std::uint64_t size : sizes) {
    if (size > rows - passed) throw misfit();
    const char* at = lists.data() + passed * (vector_bytes + kRowBytes);
    found.lists.push_back({size, reinterpret_cast<const float*>(at), at + size * vector_bytes});
    passed += size;
  }
  if (passed != rows || lists.size() != rows * (vector_bytes + kRowBytes)) throw misfit();
  return found;
}

/// What tells FAISS that lists are empty.
std::string empty_sizes(std::size_t lists) {
  std::string sizes(kAllSizesName);
  append_size(sizes, lists);
  return sizes.append(lists * kSizeBytes, '\0');
}

/// bytes, and then what stands for the rest, are all that FAISS gets to see of an index whose part
/// of the file has so many bytes.
std::unique_ptr<faiss::Index> read_by_faiss(std::string_view bytes, std::string_view rest,
                                            std::size_t most) {
  BytesReader reader(bytes, rest, most);
  std::unique_ptr<faiss::Index> index;
  try {
    index.reset(faiss::read_index(&reader));
  } catch (const std::bad_alloc&) {
    throw;  // the file may be sound
  } catch (const std::exception& error) {
    throw corruption(fmt::format("FAISS cannot read it: {}", error.what()));
  }
  if (index == nullptr || reader.left() != 0) {
    throw corruption("it holds more than the index FAISS reads");
  }
  return index;
}

/// Of an ivf index.
void read_lists(std::string_view faiss_part, IndexFile& result) {
  ListsInFile found = lists_in(faiss_part);
  result.index = read_by_faiss(faiss_part.substr(0, found.sizes_at),
                               empty_sizes(found.lists.size()), faiss_part.size());
  result.rows = static_cast<std::size_t>(std::max<std::int64_t>(result.index->ntotal, 0));
  result.dimension = static_cast<std::size_t>(std::max(static_cast<int>(result.index->d), 0));
  result.lists = std::move(found.lists);
}

void read_faiss_part(std::string_view faiss_part, IndexFile& result) {
  check_metric(faiss_part);
  if (faiss_part.starts_with(kListsName)) return read_lists(faiss_part, result);
  // FAISS reads many more kinds than are written here, and some trust what they read: a product
  // quantizer divides by the number of its parts.
  const bool refines = faiss_part.starts_with(kRefiningName);
  const bool has_graph = faiss_part.starts_with(kGraphName);
  if (!refines && !has_graph && !faiss_part.starts_with(kFlatName)) {
    throw corruption("it is of no known kind");
  }
  const FlatInFile flat = flat_in(faiss_part, refines ? kFactorBytes : 0);
  result.rows = flat.rows;
  result.dimension = flat.dimension;
  result.vectors = flat.vectors;
  if (refines) return;
  if (has_graph) {
    ByteCursor graph(flat.before);
    graph.take(kHeaderBytes);
    result.graph = graph.left();
  } else {
    result.index = read_by_faiss(flat.before, flat.header, faiss_part.size());
  }
}

}  // namespace

void write_index_file(const WritePart& write_faiss, const WritePart& write_codes,
                      const std::filesystem::path& path) {
  AtomicFile file(path);
  DigestingWriter writer(file);
  const WriteBytes write = [&](std::string_view bytes) { writer.write(bytes); };
  write_faiss(write);
  const std::uint64_t faiss_size = writer.written();
  writer.write(std::string(padded(faiss_size) - faiss_size, '\0'));
  const std::uint64_t codes_at = writer.written();
  write_codes(write);
  std::string trailer(kMagic);
  append_size(trailer, faiss_size);
  append_size(trailer, codes_at);
  append_size(trailer, writer.written() - codes_at);
  writer.write(trailer);
  writer.write_digest();
  file.commit();
}

std::string faiss_bytes(const faiss::Index& index) {
  StringWriter writer;
  faiss::write_index(&index, &writer);
  return std::move(writer.bytes);
}

std::string faiss_header(const faiss::Index& index) {
  return faiss_bytes(index).substr(0, kHeaderBytes);
}

std::string faiss_bytes_before_lists(const faiss::Index& index) {
  std::string bytes = faiss_bytes(index);
  if (!bytes.ends_with(kNoListsName)) throw internal_error("FAISS wrote an index that has lists");
  bytes.resize(bytes.size() - kNoListsName.size());
  return bytes;
}

void write_lists(std::span<const PlaceRange> lists, const std::int32_t* rows,
                 std::size_t code_bytes,
                 const std::function<void(const PlaceRange& list)>& write_codes,
                 const WriteBytes& write) {
  const auto is_filled = [](const PlaceRange& list) { return list.count > 0; };
  const auto filled = static_cast<std::size_t>(std::ranges::count_if(lists, is_filled));
  const bool tells_all = filled > lists.size() / 2;  // as FAISS decides it
  std::string head(kArrayListsName);
  append_size(head, lists.size());
  append_size(head, code_bytes);
  head += tells_all ? kAllSizesName : kSomeSizesName;
  append_size(head, tells_all ? lists.size() : 2 * filled);
  for (std::size_t list = 0; list < lists.size(); ++list) {
    if (!tells_all && !is_filled(lists[list])) continue;
    if (!tells_all) append_size(head, list);
    append_size(head, lists[list].count);
  }
  write(head);
  std::vector<std::int64_t> list_rows;
  for (const PlaceRange& list : lists) {
    if (!is_filled(list)) continue;
    write_codes(list);
    list_rows.assign(rows + list.first, rows + list.first + list.count);
    write({reinterpret_cast<const char*>(list_rows.data()), list.count * kRowBytes});
  }
}

void write_flat(const VectorTable& vectors, const WriteBytes& write) {
  std::string header =
      faiss_bytes(faiss::IndexFlatIP(static_cast<std::int64_t>(vectors.dimension())));
  if (header.size() != kFlatHeaderBytes) throw internal_error("FAISS wrote no header");
  const std::size_t elements = vectors.size() * vectors.dimension();
  set_rows(header, vectors.size(), elements);
  write(header);
  write({reinterpret_cast<const char*>(vectors.contiguous()), elements * sizeof(float)});
}

CodeTable IndexFile::code_table() const { return CodeTable(codes, rows, dimension, file); }

IndexFile read_index_file(const std::filesystem::path& path) {
  IndexFile result;
  result.file = std::make_shared<const MappedFile>(path);
  const Parts parts = verified_parts(result.file->bytes());
  result.codes = parts.codes;
  read_faiss_part(parts.faiss, result);
  return result;
}

}  // namespace vitrine::index
