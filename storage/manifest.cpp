#include "storage/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "base/sha256.h"

namespace vitrine::storage {
namespace {

using nlohmann::json;

constexpr int kFormatVersion = 2;
/// It knew SHA-256 only.
constexpr int kOldestFormatVersion = 1;
constexpr const char* kChecksumKey = "manifest_sha256";

/// Object keys are sorted and numbers print one way, so equal content has an equal checksum.
std::string checksum(const json& fields) { return to_hex(sha256(fields.dump())); }

/// The member of a file's entry that holds its digest.
struct DigestKey {
  DigestKind kind;
  const char* name;
};
constexpr DigestKey kDigestKeys[] = {
    {DigestKind::kSha256, "sha256"},
    {DigestKind::kPieces, "pieces_sha256"},
    {DigestKind::kOwn, "own_digest"},
};

json print_file(const GenerationFile& file) {
  json entry = {{"name", file.name}, {"size", file.size}};
  for (const DigestKey& key : kDigestKeys) {
    if (key.kind == file.kind) entry[key.name] = file.digest;
  }
  return entry;
}

/// Throws what json throws, also when the entry has no digest.
GenerationFile parse_file(const json& entry) {
  GenerationFile file;
  entry.at("name").get_to(file.name);
  entry.at("size").get_to(file.size);
  const auto key = std::ranges::find_if(
      kDigestKeys, [&](const DigestKey& each) { return entry.contains(each.name); });
  const DigestKey& found = key == std::end(kDigestKeys) ? kDigestKeys[1] : *key;
  file.kind = found.kind;
  entry.at(found.name).get_to(file.digest);
  return file;
}

/// File names decide what is opened below the folder: a damaged one must not leave it.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name != kManifestFile &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

}  // namespace

std::string print_manifest(const Manifest& manifest) {
  json files = json::array();
  for (const GenerationFile& file : manifest.files) files.push_back(print_file(file));
  json fields = {
      {"format_version", kFormatVersion},
      {"catalog", manifest.catalog},
      {"generation", manifest.generation},
      {"encoder_fingerprint", manifest.encoder_fingerprint},
      {"dimension", manifest.dimension},
      {"index", manifest.index},
      {"product_count", manifest.product_count},
      {"image_source",
       {{"type", manifest.image_source.type}, {"location", manifest.image_source.location}}},
      {"catalog_file", manifest.catalog_file},
      {"content_hash", manifest.content_hash},
      {"created_at", manifest.created_at},
      {"covered_sequence", manifest.covered_sequence},
      {"files", std::move(files)},
  };
  if (manifest.vectors) {
    fields["vectors"] = {{"images", manifest.vectors->images},
                         {"captions", manifest.vectors->captions},
                         {"ids", manifest.vectors->ids}};
  }
  try {
    fields[kChecksumKey] = checksum(fields);
    return fields.dump(2) + "\n";
  } catch (const json::type_error& error) {
    throw invalid_argument(fmt::format("the manifest of catalog {} holds invalid UTF-8: {}",
                                       manifest.catalog, error.what()));
  }
}

Manifest parse_manifest(const std::filesystem::path& file, const std::string& text) {
  try {
    json fields = json::parse(text);
    const std::string expected = fields.at(kChecksumKey).get<std::string>();
    fields.erase(kChecksumKey);
    if (checksum(fields) != expected) {
      throw corruption(file.string() + " is damaged: its content does not match its checksum");
    }
    const int version = fields.at("format_version").get<int>();
    if (version < kOldestFormatVersion || version > kFormatVersion) {
      throw failed_precondition(
          fmt::format("{} has format version {}; this program reads versions {} to {}: reindex, or "
                      "use the program that wrote it",
                      file.string(), version, kOldestFormatVersion, kFormatVersion));
    }
    Manifest manifest;
    fields.at("catalog").get_to(manifest.catalog);
    fields.at("generation").get_to(manifest.generation);
    fields.at("encoder_fingerprint").get_to(manifest.encoder_fingerprint);
    fields.at("dimension").get_to(manifest.dimension);
    manifest.index = fields.at("index");
    fields.at("product_count").get_to(manifest.product_count);
    fields.at("image_source").at("type").get_to(manifest.image_source.type);
    fields.at("image_source").at("location").get_to(manifest.image_source.location);
    fields.at("catalog_file").get_to(manifest.catalog_file);
    fields.at("content_hash").get_to(manifest.content_hash);
    fields.at("created_at").get_to(manifest.created_at);
    // Absent from what was written before there were updates.
    manifest.covered_sequence = fields.value("covered_sequence", std::uint64_t{0});
    if (const auto vectors = fields.find("vectors"); vectors != fields.end()) {
      manifest.vectors = VectorFiles{vectors->at("images").get<std::string>(),
                                     vectors->at("captions").get<std::string>(),
                                     vectors->at("ids").get<std::string>()};
    }
    for (const json& entry : fields.at("files")) {
      manifest.files.push_back(parse_file(entry));
      if (!is_plain_name(manifest.files.back().name)) {
        throw corruption(file.string() + " lists a file name that leaves its folder");
      }
    }
    return manifest;
  } catch (const json::exception& error) {
    throw corruption(fmt::format("{} is damaged: {}", file.string(), error.what()));
  }
}

}  // namespace vitrine::storage
