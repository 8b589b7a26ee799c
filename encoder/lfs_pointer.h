#pragma once

#include <filesystem>
#include <string_view>

namespace vitrine::encoder {

/// Throws NotFound that says how to get the file when it is what Git leaves in its place where Git
/// LFS is not at hand. text: how the file begins.
void refuse_lfs_pointer(const std::filesystem::path& path, std::string_view text);

}  // namespace vitrine::encoder
