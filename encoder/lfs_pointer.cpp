#include "encoder/lfs_pointer.h"

#include <fmt/format.h>

#include "base/error.h"

namespace vitrine::encoder {

void refuse_lfs_pointer(const std::filesystem::path& path, std::string_view text) {
  if (!text.starts_with("version https://git-lfs")) return;
  throw not_found(fmt::format(
      "{} was not downloaded: it is a Git LFS pointer. Run \"git lfs pull\" in its folder",
      path.string()));
}

}  // namespace vitrine::encoder
