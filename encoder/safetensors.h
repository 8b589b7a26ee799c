#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"

namespace vitrine::encoder {

enum class DType { kBool, kU8, kI8, kU16, kI16, kF16, kBF16, kU32, kI32, kF32, kU64, kI64, kF64 };

/// The name in a file's header, such as "BF16".
std::string_view to_string(DType dtype);
/// Bytes of one element.
std::size_t size_of(DType dtype);

/// One tensor of an open file.
struct TensorInfo {
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  ///< empty: a scalar
  std::string_view bytes;           ///< little endian, row-major; valid as long as the file object

  /// Product of the shape; 1 for a scalar.
  std::size_t element_count() const;
};

/// Writes all elements of an F32, F16 or BF16 tensor as float32; every value is kept exactly.
/// values: element_count() floats. Throws InvalidArgument for another size or type.
void read_float(const TensorInfo& tensor, std::span<float> values);

/// A memory-mapped .safetensors file. Immutable, movable; safe to use from many threads. The bytes
/// of tensors() stay where they are when the object is moved.
class SafetensorsFile {
 public:
  /// Opens and validates: header size, JSON, types, shapes, and that the tensors cover the data
  /// exactly, without overlap. Nothing is allocated by a size that the file only claims. Throws as
  /// read_file and refuse_lfs_pointer do, or Corruption that names the file and the tensor.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }

 private:
  MappedFile file_;
  std::map<std::string, TensorInfo> tensors_;
};

struct FloatTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;  ///< row-major
};

/// Writes a .safetensors file tensor by tensor, so that a large one needs no memory of its size.
/// The file appears under its name only when finish() succeeds. Every call throws as AtomicFile
/// does.
class SafetensorsWriter {
 public:
  using Shapes = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

  /// shapes: every tensor, in the order of the append() calls. dtype: kF32 or kF16.
  SafetensorsWriter(std::filesystem::path path, const Shapes& shapes, DType dtype);

  /// The next elements, in the order of the shapes; a tensor may come in pieces.
  void append(std::span<const float> values);
  /// Throws InvalidArgument when the number of elements is not what the shapes say.
  void finish();

 private:
  std::filesystem::path path_;
  AtomicFile file_;
  DType dtype_;
  std::uint64_t elements_expected_ = 0;
  std::uint64_t elements_written_ = 0;
};

/// Writes all tensors, sorted by name, atomically. dtype: kF32, or kF16 (rounded to nearest even).
void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, FloatTensor>& tensors, DType dtype);

}  // namespace vitrine::encoder
