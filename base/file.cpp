#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "base/descriptor.h"
#include "base/error.h"

namespace vitrine {
namespace {

void write_all(int file, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      throw system_error("cannot write", path);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const Descriptor file(path, Descriptor::kRead);
  const std::uint64_t size = regular_file_size(file, path);
  if (size > max_bytes) {
    throw resource_exhausted(
        fmt::format("{} has {} bytes; at most {} are read", path.string(), size, max_bytes));
  }
  std::string bytes(size, '\0');
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw system_error("cannot read", path);
    }
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path) {
  static std::atomic<unsigned> serial{0};  // several threads may write files of one name
  temporary_ = path.parent_path() / fmt::format(".{}.{}.{}.tmp", path.filename().string(),
                                                ::getpid(), serial.fetch_add(1));
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw system_error("cannot open", temporary_);
}

AtomicFile::~AtomicFile() {
  ::close(descriptor_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view bytes) { write_all(descriptor_, bytes, temporary_); }

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) throw system_error("cannot fsync", temporary_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw system_error("cannot rename onto", path_);
  }
  committed_ = true;
  fsync_path(path_.has_parent_path() ? path_.parent_path() : std::filesystem::path("."));
}

void fsync_path(const std::filesystem::path& path) {
  const Descriptor descriptor(path, O_RDONLY);
  if (::fsync(descriptor.get()) != 0) throw system_error("cannot fsync", path);
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor file(path, Descriptor::kRead);
  size_ = regular_file_size(file, path);
  if (size_ == 0) return;  // mmap refuses an empty range
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) throw system_error("cannot map", path);
  data_ = static_cast<const char*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::expect_few_reads(std::string_view part) const {
  // Whole pages of the part; a map starts at one.
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<std::size_t>(part.data() - data_);
  const std::size_t first = (offset + page - 1) / page * page;
  const std::size_t last = (offset + part.size()) / page * page;
  if (first >= last) return;
  char* address = const_cast<char*>(data_) + first;
  ::madvise(address, last - first, MADV_DONTNEED);  // only advice: it may be refused
  ::madvise(address, last - first, MADV_RANDOM);
}

bool can_be_read([[maybe_unused]] std::string_view bytes) {
#ifdef MADV_POPULATE_READ
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first = begin / page * page;
  const int result =
      ::madvise(reinterpret_cast<void*>(first), begin + bytes.size() - first, MADV_POPULATE_READ);
  return result == 0 || (errno != EFAULT && errno != EHWPOISON);
#else
  return true;
#endif
}

FileLock::FileLock(const std::filesystem::path& path)
    : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) throw system_error("cannot open", path);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const bool held = errno == EWOULDBLOCK;
    const Error error = held ? unavailable(path.string() + " is locked by another process; stop " +
                                           "that one first, or use another data folder")
                             : system_error("cannot lock", path);
    ::close(descriptor_);
    throw error;
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

TemporaryDirectory::TemporaryDirectory(const std::string& prefix) {
  std::string pattern = (std::filesystem::temp_directory_path() / (prefix + "-XXXXXX")).string();
  if (::mkdtemp(pattern.data()) == nullptr) throw system_error("cannot create", pattern);
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;  // a leftover in the temporary folder is no reason to fail
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace vitrine
