#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace vitrine {

/// The whole file. Throws NotFound, PermissionDenied, InvalidArgument (not a regular file) or
/// ResourceExhausted (larger than max_bytes; nothing is allocated then).
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

/// Writes and fsyncs the file under a temporary name in the same folder, renames it over path and
/// fsyncs the folder: after a crash path holds the old or the new bytes, never a mixture.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// What write_file_atomically does, for a file that is made piece by piece. Without commit() path
/// is left as it was. Not thread-safe; several objects may write one path, the last commit wins.
class AtomicFile {
 public:
  /// Throws as every method does: NotFound (no such folder), PermissionDenied, ResourceExhausted
  /// (disk full) or Unavailable.
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view bytes);
  /// The last call: fsyncs and renames.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_;
  bool committed_ = false;
};

/// Makes the file's bytes, or the folder's entries, survive a power cut.
void fsync_path(const std::filesystem::path& path);

/// A read-only memory map of a whole file, unmapped on destruction. Throws as read_file does.
/// The bytes must not be relied on once another process truncates the file.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const { return {data_, size_}; }

  /// Tells the system that little of this part of bytes() will be read, here and there: what is in
  /// memory of it need not stay, and nothing is to be read ahead.
  void expect_few_reads(std::string_view part) const;

 private:
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Whether all of these bytes, of a mapped file or not, can be looked at. To look at what the disk
/// does not give ends the process (SIGBUS). Kernels before Linux 5.14 do not tell; true, then.
bool can_be_read(std::string_view bytes);

/// An advisory lock on a file, created if missing, held until destruction or the process's death.
/// Throws Unavailable when another process holds it.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

/// A folder with a unique name below the system's temporary folder, removed on destruction.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& prefix = "vitrine");
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace vitrine
