#include "cli/shipped_files.h"

namespace vitrine::cli {

namespace fs = std::filesystem;

std::optional<fs::path> find_shipped(const fs::path& name, const fs::path& program) {
  std::error_code ignored;
  fs::path folder = program.parent_path();
  const fs::path installed = folder.parent_path() / "share" / "vitrine" / name;
  // build/<preset>/vitrine is two folders below the source folder.
  for (int level = 0; level < 3 && !folder.empty(); ++level, folder = folder.parent_path()) {
    if (fs::exists(folder / name, ignored)) {
      return folder / name;
    }
  }
  if (fs::exists(installed, ignored)) {
    return installed;
  }
  return std::nullopt;
}

std::optional<fs::path> find_shipped(const fs::path& name) {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return error ? std::nullopt : find_shipped(name, program);
}

}  // namespace vitrine::cli
