#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "base/descriptor.h"

namespace vitrine {

/// A file that is read here and there, which needs neither memory nor address space, and where a
/// file that somebody cuts is an error. Throws as read_file does. Any calls may overlap.
class RandomAccessFile {
 public:
  explicit RandomAccessFile(const std::filesystem::path& path);

  /// In bytes, when it was opened.
  std::uint64_t size() const { return size_; }
  /// Fills all of `bytes` from `offset` on. Throws InvalidArgument when the file ends before.
  void read(std::uint64_t offset, std::span<char> bytes) const;

 private:
  const std::filesystem::path path_;
  const Descriptor descriptor_;
  const std::uint64_t size_;
};

}  // namespace vitrine
