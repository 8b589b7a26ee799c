#include "encoder/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/float16.h"
#include "base/json.h"
#include "base/text.h"
#include "encoder/lfs_pointer.h"

static_assert(std::endian::native == std::endian::little, "safetensors data is little endian");

namespace vitrine::encoder {
namespace {

/// Parsed, a header takes some twenty times its size. A CLIP's has a hundred kilobytes.
constexpr std::uint64_t kMaxHeaderBytes = 16 << 20;
constexpr std::size_t kMaxDimensions = 16;

struct DTypeName {
  DType dtype;
  std::string_view name;
  std::size_t size;
};

constexpr DTypeName kDTypes[] = {
    {DType::kBool, "BOOL", 1}, {DType::kU8, "U8", 1},   {DType::kI8, "I8", 1},
    {DType::kU16, "U16", 2},   {DType::kI16, "I16", 2}, {DType::kF16, "F16", 2},
    {DType::kBF16, "BF16", 2}, {DType::kU32, "U32", 4}, {DType::kI32, "I32", 4},
    {DType::kF32, "F32", 4},   {DType::kU64, "U64", 8}, {DType::kI64, "I64", 8},
    {DType::kF64, "F64", 8},
};

/// Element i of an array of 16-bit elements; the format does not promise alignment.
std::uint16_t load_bits(const char* source, std::size_t i) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, source + i * sizeof(bits), sizeof(bits));
  return bits;
}

void widen_bfloat16(const char* source, std::span<float> target) {
  for (std::size_t i = 0; i < target.size(); ++i) {
    target[i] = std::bit_cast<float>(static_cast<std::uint32_t>(load_bits(source, i)) << 16);
  }
}

template <typename T>
std::string_view bytes_of(std::span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

nlohmann::json parse_header(std::string_view text, const std::string& where) {
  try {
    return parse_json(text, "the header");
  } catch (const Error& error) {
    throw corruption(fmt::format("{}: {}", where, error.what()));
  }
}

std::uint64_t unsigned_integer(const nlohmann::json& value, const std::string& what) {
  if (!value.is_number_unsigned()) throw corruption(what + " is not an unsigned integer");
  return value.get<std::uint64_t>();
}

/// One tensor's entry; `data` is all that follows the header.
TensorInfo parse_tensor(const nlohmann::json& entry, std::string_view data,
                        const std::string& what) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets") || entry.size() != 3) {
    throw corruption(what + " does not consist of dtype, shape and data_offsets");
  }
  const nlohmann::json& dtype = entry["dtype"];
  const nlohmann::json& shape = entry["shape"];
  const nlohmann::json& offsets = entry["data_offsets"];
  if (!dtype.is_string()) throw corruption(what + ": dtype is not a string");
  if (!shape.is_array() || shape.size() > kMaxDimensions) {
    throw corruption(
        fmt::format("{}: shape is not an array of at most {} sizes", what, kMaxDimensions));
  }
  if (!offsets.is_array() || offsets.size() != 2) {
    throw corruption(what + ": data_offsets is not a pair");
  }

  const auto& name = dtype.get_ref<const std::string&>();
  const auto* type =
      std::find_if(std::begin(kDTypes), std::end(kDTypes),
                   [&](const DTypeName& candidate) { return candidate.name == name; });
  if (type == std::end(kDTypes)) {
    throw corruption(fmt::format("{}: unknown dtype \"{}\"", what, printable(name)));
  }

  TensorInfo tensor;
  tensor.dtype = type->dtype;
  std::uint64_t size = type->size;
  for (const nlohmann::json& dimension : shape) {
    const std::uint64_t extent = unsigned_integer(dimension, what + ": a size of the shape");
    if (extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) ||
        __builtin_mul_overflow(size, extent, &size)) {
      throw corruption(what + ": the shape's product overflows");
    }
    tensor.shape.push_back(static_cast<std::int64_t>(extent));
  }
  const std::uint64_t begin = unsigned_integer(offsets[0], what + ": data_offsets[0]");
  const std::uint64_t end = unsigned_integer(offsets[1], what + ": data_offsets[1]");
  if (begin > end || end > data.size()) {
    throw corruption(fmt::format("{}: data_offsets [{}, {}] exceed the {} bytes of data", what,
                                 begin, end, data.size()));
  }
  if (end - begin != size) {
    throw corruption(fmt::format("{}: shape [{}] of {} needs {} bytes, data_offsets give {}", what,
                                 fmt::join(tensor.shape, ", "), type->name, size, end - begin));
  }
  tensor.bytes = data.substr(begin, size);
  return tensor;
}

/// The tensors must lie end to end: no overlap, no gap, nothing after the last.
void check_layout(const std::map<std::string, TensorInfo>& tensors, std::string_view data,
                  const std::string& where) {
  std::vector<std::pair<std::string_view, const std::string*>> ranges;
  ranges.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) ranges.emplace_back(tensor.bytes, &name);
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.data(), a.first.size()) < std::pair(b.first.data(), b.first.size());
  });
  const char* expected = data.data();
  for (const auto& [bytes, name] : ranges) {
    if (bytes.data() < expected) {
      throw corruption(fmt::format("{}: tensor \"{}\" overlaps another", where, printable(*name)));
    }
    if (bytes.data() > expected) {
      throw corruption(fmt::format("{}: {} unused bytes lie before tensor \"{}\"", where,
                                   bytes.data() - expected, printable(*name)));
    }
    expected += bytes.size();
  }
  const auto rest = data.data() + data.size() - expected;
  if (rest != 0) {
    throw corruption(fmt::format("{}: {} bytes after the last tensor belong to none", where, rest));
  }
}

}  // namespace

std::string_view to_string(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].name; }

std::size_t size_of(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].size; }

std::size_t TensorInfo::element_count() const { return bytes.size() / size_of(dtype); }

void read_float(const TensorInfo& tensor, std::span<float> values) {
  if (values.size() != tensor.element_count()) {
    throw invalid_argument(
        fmt::format("it has {} elements, not {}", tensor.element_count(), values.size()));
  }
  if (values.empty()) return;
  if (tensor.dtype == DType::kF32) {
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  } else if (tensor.dtype == DType::kF16) {
    widen_float16(tensor.bytes.data(), values);
  } else if (tensor.dtype == DType::kBF16) {
    widen_bfloat16(tensor.bytes.data(), values);
  } else {
    throw invalid_argument(
        fmt::format("its type is {}; F32, F16 or BF16 is read", to_string(tensor.dtype)));
  }
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const std::string where = path.string();
  const std::string_view bytes = file_.bytes();
  refuse_lfs_pointer(path, bytes);
  std::uint64_t header_size = 0;
  if (bytes.size() < sizeof(header_size)) {
    throw corruption(
        fmt::format("{}: {} bytes are too few for a safetensors file", where, bytes.size()));
  }
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  if (header_size > kMaxHeaderBytes) {
    throw corruption(fmt::format("{}: claims a header of {} bytes; at most {} are allowed", where,
                                 header_size, kMaxHeaderBytes));
  }
  if (header_size > bytes.size() - sizeof(header_size)) {
    throw corruption(fmt::format("{}: claims a header of {} bytes but has only {} in all", where,
                                 header_size, bytes.size()));
  }
  const std::string_view text = bytes.substr(sizeof(header_size), header_size);
  const std::string_view data = bytes.substr(sizeof(header_size) + header_size);
  if (!text.starts_with('{')) throw corruption(where + ": the header does not begin with '{'");

  const nlohmann::json header = parse_header(text, where);
  if (!header.is_object()) throw corruption(where + ": the header is not a JSON object");
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::string what = fmt::format("{}: tensor \"{}\"", where, printable(name));
    tensors_.emplace(name, parse_tensor(entry, data, what));
  }
  check_layout(tensors_, data, where);
}

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path, const Shapes& shapes, DType dtype)
    : path_(std::move(path)), file_(path_), dtype_(dtype) {
  if (dtype != DType::kF32 && dtype != DType::kF16) {
    throw invalid_argument(
        fmt::format("cannot write {} tensors; F32 and F16 are written", to_string(dtype)));
  }
  nlohmann::ordered_json header;
  header["__metadata__"]["format"] = "pt";  // transformers refuses files without it
  std::uint64_t offset = 0;
  for (const auto& [name, shape] : shapes) {
    std::uint64_t elements = 1;
    for (const std::int64_t extent : shape) elements *= static_cast<std::uint64_t>(extent);
    const std::uint64_t end = offset + elements * size_of(dtype);
    header[name] = {{"dtype", to_string(dtype)}, {"shape", shape}, {"data_offsets", {offset, end}}};
    offset = end;
    elements_expected_ += elements;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data is aligned
  const std::uint64_t size = text.size();
  file_.write(bytes_of(std::span<const std::uint64_t>(&size, 1)));
  file_.write(text);
}

void SafetensorsWriter::append(std::span<const float> values) {
  elements_written_ += values.size();
  if (dtype_ == DType::kF32) {
    file_.write(bytes_of(values));
    return;
  }
  std::vector<std::uint16_t> halves(values.size());
  std::transform(values.begin(), values.end(), halves.begin(), float_to_float16);
  file_.write(bytes_of(std::span<const std::uint16_t>(halves)));
}

void SafetensorsWriter::finish() {
  if (elements_written_ != elements_expected_) {
    throw invalid_argument(fmt::format("{}: {} elements were written, the shapes need {}",
                                       path_.string(), elements_written_, elements_expected_));
  }
  file_.commit();
}

void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, FloatTensor>& tensors, DType dtype) {
  SafetensorsWriter::Shapes shapes;
  shapes.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) shapes.emplace_back(name, tensor.shape);
  SafetensorsWriter writer(path, shapes, dtype);
  for (const auto& [name, tensor] : tensors) writer.append(tensor.values);
  writer.finish();
}

}  // namespace vitrine::encoder
