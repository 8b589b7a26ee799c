#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/file.h"
#include "base/matrix.h"
#include "base/random_access_file.h"

/// Matrices in NumPy's .npy format (numpy.lib.format).
namespace vitrine {

/// Writes [rows, cols] float32, version 1.0, C order, little endian, atomically.
void write_npy(const std::filesystem::path& path, MatrixView matrix);

/// The same, some rows at a time. Not thread-safe.
class NpyWriter {
 public:
  /// Throws what AtomicFile throws.
  NpyWriter(const std::filesystem::path& path, std::size_t rows, std::size_t cols);

  /// matrix: [any, cols]. Throws InvalidArgument for another width or too many rows.
  void append(MatrixView matrix);
  /// The last call. Throws InvalidArgument when rows are missing.
  void commit();

 private:
  AtomicFile file_;
  std::size_t rows_left_;
  const std::size_t cols_;
};

/// A matrix [rows(), cols()] of float32 or float16 in a .npy file (version 1 to 3, C order, little
/// endian), read row by row. Any calls may overlap.
class NpyReader {
 public:
  /// Reads and checks the header alone. Throws InvalidArgument saying what is wrong and what would
  /// be right (no .npy file, cut or too long, other shape, order or type of elements), and what
  /// RandomAccessFile throws.
  explicit NpyReader(const std::filesystem::path& path);

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }

  /// row: below rows(). values: [cols()]; what the file has, not finite values included. Throws
  /// InvalidArgument when the file was cut since it was opened.
  void read_row(std::size_t row, std::span<float> values) const;

 private:
  enum class Element : std::uint8_t { kFloat16 = 2, kFloat32 = 4 };  // bytes

  RandomAccessFile file_;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  Element element_ = Element::kFloat32;
  std::uint64_t data_offset_ = 0;
};

}  // namespace vitrine
