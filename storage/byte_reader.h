#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vitrine::storage {

/// A file or stream read from front to back through a small buffer. Not thread-safe.
class ByteReader {
 public:
  static constexpr int kEnd = -1;

  /// Throws NotFound, PermissionDenied, or InvalidArgument when it is not a regular file.
  explicit ByteReader(const std::filesystem::path& path);
  /// stream: outlives the reader. name: for messages.
  ByteReader(std::istream& stream, std::string name) : name_(std::move(name)), stream_(stream) {}
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  /// The next count bytes without consuming them, fewer only at the end of the file; valid until
  /// the next call. count: at most a few thousand. Throws Unavailable when reading fails.
  std::string_view ahead(std::size_t count) {
    if (buffer_.size() - position_ < count) refill();
    return std::string_view(buffer_).substr(position_, count);
  }
  /// The next byte (0 to 255) without consuming it, or kEnd.
  int peek() {
    const std::string_view byte = ahead(1);
    return byte.empty() ? kEnd : static_cast<unsigned char>(byte[0]);
  }
  /// Consumes and returns the next byte, or kEnd.
  int next() {
    const int byte = peek();
    if (byte != kEnd) ++position_;
    return byte;
  }
  void skip_byte_order_mark();

  /// What next_line does with a line that is too long: consumes it and says so.
  enum class Line { kWhole, kTooLong, kEnd };
  /// One line without its end (LF or CRLF); the last one may lack it.
  Line next_line(std::string& line, std::size_t max_bytes);

 private:
  void refill();

  const std::string name_;
  std::ifstream file_;  // not open when the caller's stream is read
  std::istream& stream_;
  std::string buffer_;
  std::size_t position_ = 0;  // of the next byte in buffer_
  bool ended_ = false;
};

}  // namespace vitrine::storage
