#include "tools/fashion_mnist.h"

#include <zlib.h>

#include <algorithm>
#include <memory>

#include "base/error.h"

namespace vitrine::tools {
namespace {

constexpr std::uint32_t kImagesMagic = 0x803, kLabelsMagic = 0x801;

class GzipReader {
 public:
  explicit GzipReader(const std::filesystem::path& path)
      : name_(path.string()), file_(gzopen(path.c_str(), "rb"), gzclose) {
    if (!file_) {
      throw not_found(name_ + " is missing; it comes with Debian's package dataset-fashion-mnist");
    }
  }

  void read(void* bytes, unsigned size) {
    if (gzread(file_.get(), bytes, size) != static_cast<int>(size)) {
      throw corruption(name_ + " is damaged or too short");
    }
  }

  std::uint32_t read_big_endian() {
    std::array<std::uint8_t, 4> b{};
    read(b.data(), 4);
    return std::uint32_t(b[0]) << 24 | std::uint32_t(b[1]) << 16 | std::uint32_t(b[2]) << 8 | b[3];
  }

  void expect(std::uint32_t wanted) {
    if (read_big_endian() != wanted) throw corruption(name_ + " is not a Fashion-MNIST file");
  }

 private:
  std::string name_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

}  // namespace

std::vector<GarmentPhoto> load_fashion_mnist(const std::filesystem::path& folder,
                                             const std::string& split) {
  if (split != "train" && split != "test") {
    throw invalid_argument("split is \"" + split + "\"; it must be train or test");
  }
  const std::string prefix = split == "train" ? "train" : "t10k";
  const std::uint32_t count = split == "train" ? 60000 : 10000;
  GzipReader images(folder / (prefix + "-images-idx3-ubyte.gz"));
  GzipReader labels(folder / (prefix + "-labels-idx1-ubyte.gz"));
  for (const std::uint32_t word : {kImagesMagic, count, 28u, 28u}) images.expect(word);
  for (const std::uint32_t word : {kLabelsMagic, count}) labels.expect(word);

  std::vector<GarmentPhoto> photos(count);
  for (GarmentPhoto& photo : photos) {
    images.read(photo.grey.data(), photo.grey.size());
    std::uint8_t label = 0;
    labels.read(&label, 1);
    if (label > 9) throw corruption("Fashion-MNIST has no label " + std::to_string(label));
    photo.garment = label;
  }
  return photos;
}

}  // namespace vitrine::tools
