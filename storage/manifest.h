#pragma once

#include <filesystem>
#include <string>

#include "storage/generation_store.h"

namespace vitrine::storage {

/// manifest.json: the manifest's fields, "format_version", and "manifest_sha256" over the compact
/// JSON of all the others.
std::string print_manifest(const Manifest& manifest);

/// Throws Corruption naming the file when it is malformed or its checksum does not match, and
/// FailedPrecondition when a newer program wrote it.
Manifest parse_manifest(const std::filesystem::path& file, const std::string& text);

}  // namespace vitrine::storage
