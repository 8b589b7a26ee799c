#include "index/faiss_file.h"

#include <faiss/Index.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

namespace vitrine::index {
namespace {

constexpr std::string_view kMagic = "VITRINE-INDEX-1\n";
constexpr std::size_t kSizeBytes = 8;
constexpr std::size_t kDigestBytes = sizeof(Sha256Digest);
constexpr std::size_t kTrailerBytes = kMagic.size() + kSizeBytes + kDigestBytes;

std::string encode_size(std::uint64_t size) {
  std::string bytes(kSizeBytes, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(size & 0xff);
    size >>= 8;
  }
  return bytes;
}

std::string_view as_bytes(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

/// Gathers FAISS's many small writes, and checksums what it passes on.
class ChecksummedWriter : public faiss::IOWriter {
 public:
  explicit ChecksummedWriter(AtomicFile& file) : file_(file) { buffer_.reserve(kBufferBytes); }

  std::size_t operator()(const void* data, std::size_t size, std::size_t items) override {
    write({static_cast<const char*>(data), size * items});
    return items;
  }

  /// To be called once, after FAISS has written.
  void write_trailer() {
    const std::string size = encode_size(written_);
    write(kMagic);
    write(size);
    flush();
    file_.write(as_bytes(sha256_.finish()));
  }

 private:
  static constexpr std::size_t kBufferBytes = 1 << 20;

  void write(std::string_view bytes) {
    written_ += bytes.size();
    if (buffer_.size() + bytes.size() > kBufferBytes) flush();
    if (bytes.size() < kBufferBytes) {
      buffer_.append(bytes);
    } else {
      pass_on(bytes);
    }
  }

  void flush() {
    pass_on(buffer_);
    buffer_.clear();
  }

  void pass_on(std::string_view bytes) {
    sha256_.update(bytes);
    file_.write(bytes);
  }

  AtomicFile& file_;
  Sha256 sha256_;
  std::string buffer_;
  std::uint64_t written_ = 0;
};

/// Gives FAISS bytes that lie in memory.
class BytesReader : public faiss::IOReader {
 public:
  explicit BytesReader(std::string_view bytes) : bytes_(bytes) {}

  std::size_t operator()(void* data, std::size_t size, std::size_t items) override {
    if (size == 0) return 0;
    const std::size_t count = std::min(items, bytes_.size() / size);
    if (count > 0) std::memcpy(data, bytes_.data(), count * size);
    bytes_.remove_prefix(count * size);
    return count;
  }

  std::size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

/// FAISS's part of the file. Throws Corruption unless the trailer fits it.
std::string_view verified_payload(std::string_view file, const std::string& name) {
  if (file.size() < kTrailerBytes) {
    throw corruption(
        fmt::format("{} has {} bytes, too few for an index; it is truncated, build "
                    "it again",
                    name, file.size()));
  }
  const std::string_view trailer = file.substr(file.size() - kTrailerBytes);
  const std::string_view payload = file.substr(0, file.size() - kTrailerBytes);
  if (!trailer.starts_with(kMagic)) {
    throw corruption(name +
                     " does not end with an index checksum; it is truncated, damaged, or was not "
                     "saved by Vitrine, build it again");
  }
  if (trailer.substr(kMagic.size(), kSizeBytes) != encode_size(payload.size())) {
    throw corruption(name + " is not as long as when it was saved; build it again");
  }
  const Sha256Digest digest = sha256(file.substr(0, file.size() - kDigestBytes));
  if (trailer.substr(kTrailerBytes - kDigestBytes) != as_bytes(digest)) {
    throw corruption(name + " does not have the SHA-256 it was saved with; build it again");
  }
  return payload;
}

}  // namespace

void write_faiss_file(const faiss::Index& index, const std::filesystem::path& path) {
  AtomicFile file(path);
  ChecksummedWriter writer(file);
  faiss::write_index(&index, &writer);
  writer.write_trailer();
  file.commit();
}

std::unique_ptr<faiss::Index> read_faiss_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  BytesReader reader(verified_payload(file.bytes(), path.string()));
  std::unique_ptr<faiss::Index> index;
  try {
    index.reset(faiss::read_index(&reader));
  } catch (const std::exception& error) {
    throw corruption(
        fmt::format("{} is not an index FAISS can read: {}", path.string(), error.what()));
  }
  if (index == nullptr || reader.left() != 0) {
    throw corruption(path.string() + " holds more than the index FAISS reads; build it again");
  }
  return index;
}

}  // namespace vitrine::index
