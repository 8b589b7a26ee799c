#include "base/npy.h"

#include <fmt/format.h>

#include <bit>
#include <string>

#include "base/file.h"

namespace vitrine {

static_assert(std::endian::native == std::endian::little, "the bytes are written as they lie");

void write_npy(const std::filesystem::path& path, MatrixView matrix) {
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
                                   matrix.rows, matrix.cols);
  // Magic, version and length take 10 bytes; the data must start at a multiple of 64.
  constexpr std::size_t kPreamble = 10;
  const std::size_t unpadded = kPreamble + header.size() + 1;
  header.append((64 - unpadded % 64) % 64, ' ');
  header.push_back('\n');

  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes.push_back(static_cast<char>(header.size() & 0xff));
  bytes.push_back(static_cast<char>(header.size() >> 8));
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(matrix.data),
               matrix.rows * matrix.cols * sizeof(float));
  write_file_atomically(path, bytes);
}

}  // namespace vitrine
