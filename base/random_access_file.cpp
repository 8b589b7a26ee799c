#include "base/random_access_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"

namespace vitrine {

RandomAccessFile::RandomAccessFile(const std::filesystem::path& path)
    : path_(path),
      descriptor_(path, Descriptor::kRead),
      size_(regular_file_size(descriptor_, path)) {}

void RandomAccessFile::read(std::uint64_t offset, std::span<char> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got =
        ::pread(descriptor_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      throw system_error("cannot read", path_);
    }
    if (got == 0) {
      throw invalid_argument(
          fmt::format("{} ends at byte {}, before what should be there", path_.string(), offset));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

}  // namespace vitrine
