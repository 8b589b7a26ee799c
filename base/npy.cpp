#include "base/npy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/float16.h"
#include "base/text.h"

namespace vitrine {

static_assert(std::endian::native == std::endian::little, "the bytes are written as they lie");

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
/// Far above what any array of numbers needs; NumPy itself stops at 10,000.
constexpr std::size_t kMaxHeaderBytes = std::size_t{64} * 1024;

struct Header {
  std::optional<std::string> element;  // such as "<f4"
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::uint64_t>> shape;
};

/// A Python dictionary as NumPy writes it: {'descr': '<f4', 'fortran_order': False, 'shape': (2,
/// 3), }
class HeaderParser {
 public:
  /// Throws InvalidArgument; the caller adds the file's name.
  static Header parse(std::string_view text) {
    HeaderParser parser(text);
    Header header;
    parser.expect('{');
    while (!parser.take('}')) {
      parser.entry(header);
      if (parser.take(',')) continue;
      parser.expect('}');
      break;
    }
    if (parser.skip_blanks(); !parser.rest_.empty()) throw malformed();
    if (!header.element || !header.fortran_order || !header.shape) throw malformed();
    return header;
  }

 private:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  static Error malformed() {
    return invalid_argument("its header is not the one that NumPy writes for an array of numbers");
  }

  void entry(Header& header) {
    const std::string_view key = text();
    expect(':');
    if (key == "descr" && !header.element) {
      header.element = text();
    } else if (key == "fortran_order" && !header.fortran_order) {
      header.fortran_order = boolean();
    } else if (key == "shape" && !header.shape) {
      header.shape = numbers();
    } else {
      throw malformed();
    }
  }

  std::string_view text() {
    skip_blanks();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) throw malformed();
    const std::size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) throw malformed();
    const std::string_view found = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return found;
  }

  bool boolean() {
    skip_blanks();
    for (const bool value : {false, true}) {
      const std::string_view name = value ? "True" : "False";
      if (!rest_.starts_with(name)) continue;
      rest_.remove_prefix(name.size());
      return value;
    }
    throw malformed();
  }

  std::vector<std::uint64_t> numbers() {
    std::vector<std::uint64_t> found;
    expect('(');
    while (!take(')')) {
      found.push_back(number());
      if (take(',')) continue;
      expect(')');
      break;
    }
    return found;
  }

  std::uint64_t number() {
    skip_blanks();
    std::uint64_t value = 0;
    std::size_t digits = 0;
    for (; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits) {
      const auto digit = static_cast<std::uint64_t>(rest_[digits] - '0');
      if (value > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) throw malformed();
      value = 10 * value + digit;
    }
    if (digits == 0) throw malformed();
    rest_.remove_prefix(digits);
    if (rest_.starts_with('L')) rest_.remove_prefix(1);  // Python 2
    return value;
  }

  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \n"), rest_.size()));
  }

  bool take(char expected) {
    skip_blanks();
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char expected) {
    if (!take(expected)) throw malformed();
  }

  std::string_view rest_;
};

std::string npy_header(std::size_t rows, std::size_t cols) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  // Magic, version and length take 10 bytes; the data must start at a multiple of 64.
  constexpr std::size_t kPreamble = 10;
  const std::size_t unpadded = kPreamble + header.size() + 1;
  header.append((64 - unpadded % 64) % 64, ' ');
  header.push_back('\n');

  std::string bytes(kMagic);
  bytes.append("\x01\x00", 2);
  bytes.push_back(static_cast<char>(header.size() & 0xff));
  bytes.push_back(static_cast<char>(header.size() >> 8));
  return bytes + header;
}

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) {
    value = value >> 8 | std::uint64_t{static_cast<unsigned char>(byte)} << 56;
  }
  return value >> (64 - 8 * bytes.size());
}

/// The header's text; leaves in `end` where it ends.
std::string read_header(const RandomAccessFile& file, std::uint64_t& end) {
  std::string preamble(std::min<std::uint64_t>(12, file.size()), '\0');
  file.read(0, preamble);
  if (!preamble.starts_with(kMagic) || preamble.size() < 12) {
    throw invalid_argument("it is no .npy file; numpy.save writes one");
  }
  const char version = preamble[6];
  if (version < 1 || version > 3) {
    throw invalid_argument(fmt::format("its format version is {}; 1, 2 and 3 are read",
                                       static_cast<unsigned char>(version)));
  }
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  const std::uint64_t length = little_endian(std::string_view(preamble).substr(8, length_bytes));
  const std::uint64_t begin = 8 + length_bytes;
  if (length > kMaxHeaderBytes || length > file.size() - begin) {
    throw invalid_argument(
        fmt::format("its header has {} bytes; at most {} are read, and the file "
                    "has {} left",
                    length, kMaxHeaderBytes, file.size() - begin));
  }
  std::string text(length, '\0');
  file.read(begin, text);
  end = begin + length;
  return text;
}

}  // namespace

void write_npy(const std::filesystem::path& path, MatrixView matrix) {
  NpyWriter writer(path, matrix.rows, matrix.cols);
  writer.append(matrix);
  writer.commit();
}

NpyWriter::NpyWriter(const std::filesystem::path& path, std::size_t rows, std::size_t cols)
    : file_(path), rows_left_(rows), cols_(cols) {
  file_.write(npy_header(rows, cols));
}

void NpyWriter::append(MatrixView matrix) {
  if (matrix.cols != cols_ || matrix.rows > rows_left_) {
    throw invalid_argument(fmt::format("{} rows of {} columns do not fit where {} of {} are left",
                                       matrix.rows, matrix.cols, rows_left_, cols_));
  }
  file_.write(
      {reinterpret_cast<const char*>(matrix.data), matrix.rows * matrix.cols * sizeof(float)});
  rows_left_ -= matrix.rows;
}

void NpyWriter::commit() {
  if (rows_left_ > 0) {
    throw invalid_argument(fmt::format("{} rows of a .npy file are missing", rows_left_));
  }
  file_.commit();
}

NpyReader::NpyReader(const std::filesystem::path& path) try : file_(path) {
  const Header header = HeaderParser::parse(read_header(file_, data_offset_));
  if (*header.element == "<f2") {
    element_ = Element::kFloat16;
  } else if (*header.element != "<f4") {
    throw invalid_argument(fmt::format(
        "its elements are \"{}\"; \"<f4\" and \"<f2\" are read: save it with astype('float32')",
        printable(*header.element)));
  }
  const std::vector<std::uint64_t>& shape = *header.shape;
  if (shape.size() != 2) {
    throw invalid_argument(fmt::format("its shape is ({}); [rows, columns] is read",
                                       printable(fmt::format("{}", fmt::join(shape, ", ")))));
  }
  if (*header.fortran_order) {
    throw invalid_argument(
        "its elements are in Fortran order; save it with numpy.ascontiguousarray()");
  }
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(shape[0], shape[1], &elements) ||
      __builtin_mul_overflow(elements, static_cast<std::uint64_t>(element_), &bytes) ||
      bytes != file_.size() - data_offset_) {
    throw invalid_argument(
        fmt::format("its header promises {} rows of {} elements, {} bytes each; {} bytes follow",
                    shape[0], shape[1], static_cast<int>(element_), file_.size() - data_offset_));
  }
  rows_ = shape[0];
  cols_ = shape[1];
} catch (const Error& error) {
  if (error.code() != ErrorCode::kInvalidArgument) throw;
  throw invalid_argument(fmt::format("{}: {}", path.string(), error.what()));
}

void NpyReader::read_row(std::size_t row, std::span<float> values) const {
  if (row >= rows_ || values.size() != cols_) {
    throw invalid_argument(fmt::format("row {} into {} values of a matrix of {} rows of {}", row,
                                       values.size(), rows_, cols_));
  }
  const std::uint64_t row_bytes = cols_ * static_cast<std::uint64_t>(element_);
  const std::uint64_t offset = data_offset_ + row * row_bytes;
  if (element_ == Element::kFloat32) {
    file_.read(offset, {reinterpret_cast<char*>(values.data()), row_bytes});
    return;
  }
  std::vector<char> halves(row_bytes);
  file_.read(offset, halves);
  widen_float16(halves.data(), values);
}

}  // namespace vitrine
