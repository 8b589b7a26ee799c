#include "storage/byte_reader.h"

#include <cerrno>
#include <system_error>

#include "base/descriptor.h"
#include "base/error.h"

namespace vitrine::storage {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{256} * 1024;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

ByteReader::ByteReader(const std::filesystem::path& path) : name_(path.string()), stream_(file_) {
  std::error_code code;
  const auto status = std::filesystem::status(path, code);
  if (status.type() == std::filesystem::file_type::not_found) {
    throw not_found(name_ + " does not exist");
  }
  if (code) throw system_error("cannot read", path, code);
  if (status.type() != std::filesystem::file_type::regular) {
    throw invalid_argument(name_ + " is not a regular file");
  }
  errno = 0;
  file_.open(path, std::ios::binary);
  if (!file_) throw system_error("cannot read", path);
}

void ByteReader::refill() {
  if (ended_) return;
  buffer_.erase(0, position_);
  position_ = 0;
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + kChunkBytes);
  stream_.read(buffer_.data() + kept, static_cast<std::streamsize>(kChunkBytes));
  if (stream_.bad()) throw unavailable("reading " + name_ + " failed");
  buffer_.resize(kept + static_cast<std::size_t>(stream_.gcount()));
  ended_ = stream_.eof();
}

void ByteReader::skip_byte_order_mark() {
  if (ahead(kByteOrderMark.size()) == kByteOrderMark) position_ += kByteOrderMark.size();
}

ByteReader::Line ByteReader::next_line(std::string& line, std::size_t max_bytes) {
  line.clear();
  if (peek() == kEnd) return Line::kEnd;
  bool too_long = false;
  for (int byte = next(); byte != kEnd && byte != '\n'; byte = next()) {
    too_long = too_long || line.size() == max_bytes;
    if (!too_long) line += static_cast<char>(byte);
  }
  if (too_long) return Line::kTooLong;
  if (line.ends_with('\r')) line.pop_back();
  return Line::kWhole;
}

}  // namespace vitrine::storage
