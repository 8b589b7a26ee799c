#include "storage/generation_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <system_error>

#include "base/checksum.h"
#include "base/descriptor.h"
#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "storage/database.h"
#include "storage/manifest.h"

namespace vitrine::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxManifestBytes = 1u << 20;

void throw_if_error(const std::error_code& code, const std::string& action, const fs::path& path) {
  if (code) throw system_error(action, path, code);
}

/// Of a manifest. Throws Corruption where a sound generation could not have such a one; what else
/// may go wrong does not say that it is damaged.
std::string read_manifest_text(const fs::path& file) {
  std::error_code code;
  const std::uintmax_t size = fs::file_size(file, code);
  if (!code && size > kMaxManifestBytes) {
    throw corruption(fmt::format("{} has {} bytes, more than any manifest", file.string(), size));
  }
  try {
    return read_file(file, kMaxManifestBytes);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) {
      throw corruption(file.string() + " is missing: the generation was never finished; reindex " +
                       "the catalog");
    }
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    throw corruption(std::string("a manifest cannot be read: ") + error.what());
  }
}

/// The entries of a folder; none when it does not exist.
std::vector<fs::directory_entry> list(const fs::path& folder) {
  std::vector<fs::directory_entry> entries;
  std::error_code code;
  for (fs::directory_iterator entry(folder, code), end; !code && entry != end;
       entry.increment(code)) {
    entries.push_back(*entry);
  }
  if (code != std::errc::no_such_file_or_directory) throw_if_error(code, "cannot list", folder);
  return entries;
}

std::optional<std::uint64_t> parse_generation(const std::string& name) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool canonical = error == std::errc() && std::to_string(number) == name;
  if (!canonical || number == 0) return std::nullopt;
  return number;
}

bool is_catalog_name(const std::string& name) {
  try {
    check_catalog_name(name);
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// The digest of a whole file, as hexadecimal digits. Throws Corruption for a file that has none.
std::string digest_of_file(const fs::path& file, DigestKind kind) {
  switch (kind) {
    case DigestKind::kSha256:
      return to_hex(sha256_file(file));
    case DigestKind::kPieces:
      return to_hex(digest_of(MappedFile(file).bytes()));
    case DigestKind::kOwn: {
      const MappedFile map(file);
      Sha256Digest digest;
      if (map.bytes().size() < digest.size()) {
        throw corruption("it is too short to end with a digest");
      }
      const std::string_view end = map.bytes().substr(map.bytes().size() - digest.size());
      if (!can_be_read(end)) throw corruption("the disk does not give its end");
      std::memcpy(digest.data(), end.data(), digest.size());
      return to_hex(digest);
    }
  }
  throw internal_error("no kind of digest");
}

void verify(const fs::path& folder, const GenerationFile& listed) {
  const fs::path file = folder / listed.name;
  std::error_code code;
  const std::uint64_t size = fs::file_size(file, code);
  if (code == std::errc::no_such_file_or_directory) {
    throw corruption(file.string() + " is missing; reindex the catalog");
  }
  throw_if_error(code, "cannot stat", file);
  if (size != listed.size) {
    throw corruption(
        fmt::format("{} is damaged: {} bytes; the manifest says {}; reindex the catalog",
                    file.string(), size, listed.size));
  }
  std::string digest;
  try {
    digest = digest_of_file(file, listed.kind);
  } catch (const Error& error) {
    throw Error(error.code(), "cannot verify " + file.string() + ": " + error.what());
  }
  if (digest != listed.digest) {
    throw corruption(file.string() +
                     " is damaged: its digest is not the manifest's; reindex the catalog");
  }
}

}  // namespace

GenerationStore::GenerationStore(const fs::path& data_dir) : root_(data_dir / "generations") {
  std::error_code code;
  fs::create_directories(root_, code);
  throw_if_error(code, "cannot create", root_);
  fsync_path(data_dir);
}

fs::path GenerationStore::folder(const std::string& catalog, std::uint64_t generation) const {
  check_catalog_name(catalog);
  return root_ / catalog / std::to_string(generation);
}

GenerationStore::NewGeneration GenerationStore::begin(const std::string& catalog,
                                                      std::uint64_t newer_than) {
  check_catalog_name(catalog);
  std::error_code code;
  fs::create_directories(root_ / catalog, code);
  throw_if_error(code, "cannot create", root_ / catalog);
  const auto existing = generations(catalog);
  std::uint64_t number = std::max(newer_than, existing.empty() ? 0 : existing.back()) + 1;
  // Two threads that begin at once both get here with one number; creating the folder decides.
  while (!fs::create_directory(folder(catalog, number), code)) {
    throw_if_error(code, "cannot create", folder(catalog, number));
    ++number;
  }
  return {number, folder(catalog, number)};
}

Manifest GenerationStore::finish(Manifest manifest,
                                 std::span<const std::string_view> self_verifying) {
  const fs::path target = folder(manifest.catalog, manifest.generation);
  manifest.files.clear();
  manifest.image_source.max_bytes = ImageSourceSpec().max_bytes;  // as open() returns it
  for (const fs::directory_entry& entry : list(target)) {
    const std::string name = entry.path().filename().string();
    if (name == kManifestFile) {
      throw failed_precondition(target.string() + " is finished; begin a new generation");
    }
    std::error_code code;
    if (!entry.is_regular_file(code) || entry.is_symlink(code)) {
      throw invalid_argument(entry.path().string() + " is no regular file; a generation holds " +
                             "nothing else");
    }
    fsync_path(entry.path());
    const std::uint64_t size = entry.file_size(code);
    throw_if_error(code, "cannot stat", entry.path());
    const bool own = std::ranges::find(self_verifying, name) != self_verifying.end();
    const DigestKind kind = own ? DigestKind::kOwn : DigestKind::kPieces;
    manifest.files.push_back({name, size, kind, digest_of_file(entry.path(), kind)});
  }
  if (manifest.files.empty()) {
    throw failed_precondition(target.string() + " has no files; write the indices and rows first");
  }
  std::sort(manifest.files.begin(), manifest.files.end(),
            [](const GenerationFile& a, const GenerationFile& b) { return a.name < b.name; });
  // Last, so that a folder with a manifest is complete; it fsyncs the folder too.
  write_file_atomically(target / kManifestFile, print_manifest(manifest));
  fsync_path(root_ / manifest.catalog);
  fsync_path(root_);
  return manifest;
}

Manifest GenerationStore::read_manifest(const std::string& catalog,
                                        std::uint64_t generation) const {
  const fs::path source = folder(catalog, generation);
  std::error_code code;
  const fs::file_status status = fs::status(source, code);
  if (status.type() == fs::file_type::not_found) {
    throw not_found(fmt::format("catalog {} has no generation {}: {} does not exist", catalog,
                                generation, source.string()));
  }
  throw_if_error(code, "cannot stat", source);
  const fs::path file = source / kManifestFile;
  Manifest manifest = parse_manifest(file, read_manifest_text(file));
  if (manifest.catalog != catalog || manifest.generation != generation) {
    throw corruption(fmt::format("{} belongs to generation {} of catalog {}; was the folder moved?",
                                 file.string(), manifest.generation, manifest.catalog));
  }
  return manifest;
}

Manifest GenerationStore::open(const std::string& catalog, std::uint64_t generation) const {
  Manifest manifest = read_manifest(catalog, generation);
  for (const GenerationFile& listed : manifest.files) verify(folder(catalog, generation), listed);
  return manifest;
}

std::vector<std::string> GenerationStore::catalogs() const {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : list(root_)) {
    const std::string name = entry.path().filename().string();
    std::error_code code;
    if (is_catalog_name(name) && entry.is_directory(code)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::uint64_t> GenerationStore::generations(const std::string& catalog) const {
  check_catalog_name(catalog);
  std::vector<std::uint64_t> numbers;
  for (const fs::directory_entry& entry : list(root_ / catalog)) {
    if (const auto number = parse_generation(entry.path().filename().string())) {
      numbers.push_back(*number);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::vector<fs::path> GenerationStore::sweep(const std::string& catalog,
                                             const std::set<std::uint64_t>& keep) {
  std::vector<fs::path> removed;
  for (const std::uint64_t number : generations(catalog)) {
    if (keep.contains(number)) continue;
    const fs::path target = folder(catalog, number);
    std::error_code code;
    // Without its manifest first: what a crash leaves behind can never look finished.
    fs::remove(target / kManifestFile, code);
    fs::remove_all(target, code);
    throw_if_error(code, "cannot remove", target);
    removed.push_back(target);
  }
  return removed;
}

std::size_t sweep_generations(Database& database, GenerationStore& store,
                              const GenerationSet& in_use) {
  GenerationSet keep = in_use;
  for (const auto& [catalog, pointer] : database.list_pointers()) {
    keep[catalog].insert(pointer.generation);
    keep[catalog].insert(pointer.previous.begin(), pointer.previous.end());
  }
  std::set<std::pair<std::string, std::uint64_t>> removed;
  for (const auto& [catalog, generation] : database.list_product_generations()) {
    if (keep[catalog].contains(generation)) continue;
    database.delete_products(catalog, generation);
    removed.emplace(catalog, generation);
  }
  for (const std::string& catalog : store.catalogs()) {
    for (const fs::path& folder : store.sweep(catalog, keep[catalog])) {
      removed.emplace(catalog, std::stoull(folder.filename().string()));
    }
  }
  return removed.size();
}

}  // namespace vitrine::storage
