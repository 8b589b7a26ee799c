#pragma once

#include <filesystem>
#include <optional>

namespace vitrine::cli {

/// A file or folder that comes with the program, such as "models/fashion-mini": looked for in the
/// folders above the program (a build in its source folder), then in <prefix>/share/vitrine (an
/// installed program). Nothing when it is in neither.
std::optional<std::filesystem::path> find_shipped(const std::filesystem::path& name);

/// As find_shipped, for a program at this path.
std::optional<std::filesystem::path> find_shipped(const std::filesystem::path& name,
                                                  const std::filesystem::path& program);

}  // namespace vitrine::cli
