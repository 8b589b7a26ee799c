#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace vitrine::storage {

/// Writes product ids, one a line, atomically. Throws InvalidArgument for an id that
/// find_id_fault() faults.
void write_id_list(const std::filesystem::path& path, std::span<const std::string> ids);

/// Reads what somebody wrote so: lines may end in CRLF, and the last may lack its end. Throws
/// InvalidArgument naming the line that is no id, or when there are not `expected_count` of them;
/// NotFound, PermissionDenied.
std::vector<std::string> read_id_list(const std::filesystem::path& path,
                                      std::uint64_t expected_count);

}  // namespace vitrine::storage
