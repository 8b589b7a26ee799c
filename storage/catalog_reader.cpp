#include "storage/catalog_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"
#include "storage/byte_reader.h"
#include "storage/catalog_formats.h"

namespace vitrine::storage {
namespace {

struct CatalogFormat {
  const char* extension;
  void (*read)(ByteReader&, RecordSink&);
};

// A new format is one line here.
constexpr CatalogFormat kFormats[] = {
    {".json", read_json_array},
    {".jsonl", read_json_lines},
    {".ndjson", read_json_lines},
    {".csv", read_csv},
};

const CatalogFormat& find_format(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (const CatalogFormat& format : kFormats) {
    if (extension == format.extension) return format;
  }
  throw invalid_argument(fmt::format("{} has extension \"{}\"; a catalog file has one of: {}",
                                     printable(path.string(), 4096), printable(extension),
                                     fmt::join(catalog_extensions(), " ")));
}

}  // namespace

std::uint64_t read_catalog(const std::filesystem::path& path,
                           const std::function<void(Product&&)>& on_product,
                           const std::function<void(BadRecord&&)>& on_bad,
                           RequiredFields required) {
  const CatalogFormat& format = find_format(path);
  RecordSink sink(path, on_product, on_bad, required);
  ByteReader reader(path);
  format.read(reader, sink);
  if (sink.count() == 0) {
    throw invalid_argument(sink.file() + " holds no records; a catalog needs at least one product");
  }
  return sink.count();
}

std::uint64_t read_catalog_lines(std::istream& lines, const std::filesystem::path& name,
                                 const std::function<void(Product&&)>& on_product,
                                 const std::function<void(BadRecord&&)>& on_bad,
                                 RequiredFields required) {
  RecordSink sink(name, on_product, on_bad, required);
  ByteReader reader(lines, name.string());
  read_json_lines(reader, sink);
  return sink.count();
}

std::vector<std::string> catalog_extensions() {
  std::vector<std::string> extensions;
  for (const CatalogFormat& format : kFormats) extensions.emplace_back(format.extension);
  return extensions;
}

}  // namespace vitrine::storage
