#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "storage/byte_reader.h"
#include "storage/catalog_formats.h"
#include "storage/json_record_builder.h"

namespace vitrine::storage {
namespace {

using nlohmann::json;

/// The parser holds one string token as a whole, whatever we keep of it: beyond this it is stopped.
constexpr std::size_t kMaxParsedBytes = std::size_t{16} * 1024 * 1024;

/// The parser would read a longer number without end.
constexpr std::size_t kMaxNumberBytes = 1024;

constexpr std::string_view kNumberCharacters = "0123456789+-.eE";
constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

/// The code unit of "\uXXXX"; nothing when the text does not begin with one.
std::optional<unsigned> escaped_unit(std::string_view text) {
  constexpr std::size_t kEscapeBytes = 6;
  if (text.size() < kEscapeBytes || !text.starts_with("\\u")) return std::nullopt;
  unsigned unit = 0;
  const char* const end = text.data() + kEscapeBytes;
  const auto [stop, error] = std::from_chars(text.data() + 2, end, unit, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return unit;
}

bool is_high_surrogate(unsigned unit) { return unit >= 0xd800 && unit <= 0xdbff; }
bool is_low_surrogate(unsigned unit) { return unit >= 0xdc00 && unit <= 0xdfff; }

/// Whether the parser would take the text for a number that no double holds.
bool overflows(std::string_view number) {
  constexpr std::size_t kSafeDigits = 300;
  if (number.size() <= kSafeDigits && number.find_first_of("eE") == std::string_view::npos) {
    return false;
  }
  try {
    std::ignore = json::parse(number);
  } catch (const json::out_of_range&) {
    return true;
  } catch (const json::parse_error&) {  // what it says counts, at the place in the file
  }
  return false;
}

/// A file's bytes in which what the parser would give up the whole file over is replaced and
/// remembered: malformed UTF-8, halves of surrogate pairs, numbers that are too large.
class RepairedText {
 public:
  RepairedText(ByteReader& reader, std::string file) : file_(std::move(file)), reader_(reader) {
    reader_.skip_byte_order_mark();
  }

  int peek() {
    if (!repair_.empty()) return static_cast<unsigned char>(repair_.front());
    const int byte = reader_.peek();
    if (checked_ > 0 || byte == ByteReader::kEnd) return byte;
    if (byte >= 0x80) {
      check_code_point(byte);
    } else if (in_string_) {
      if (byte == '\\') check_escape();
    } else if (byte == '-' || (byte >= '0' && byte <= '9')) {
      check_number();
    }
    return repair_.empty() ? byte : static_cast<unsigned char>(repair_.front());
  }

  void consume() {
    if (++consumed_ > kMaxParsedBytes) {
      throw resource_exhausted(
          fmt::format("{}: a record is larger than {} bytes; at most {} are read", file_,
                      kMaxParsedBytes, kMaxRecordBytes));
    }
    if (!repair_.empty()) {
      repair_.remove_prefix(1);
      return;
    }
    const int byte = reader_.next();
    if (checked_ > 0) {
      --checked_;
    } else if (byte == '"') {
      in_string_ = !in_string_;
    }
  }

  /// Why anything was replaced since the last call, empty when nothing was; also begins a new byte
  /// count.
  std::string take_fault() {
    consumed_ = 0;
    return std::exchange(fault_, {});
  }

 private:
  void check_code_point(int first) {
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    const std::string_view code_point = reader_.ahead(length);
    if (code_point.size() == length && !find_invalid_utf8(code_point)) {
      checked_ = length;
    } else {
      replace(1, kReplacementCharacter, "it is not valid UTF-8; save the catalog as UTF-8");
    }
  }

  void check_escape() {
    const std::string_view pair = reader_.ahead(12);
    const std::optional<unsigned> unit = escaped_unit(pair);
    if (!unit) {
      checked_ = 2;
    } else if (!is_high_surrogate(*unit) && !is_low_surrogate(*unit)) {
      checked_ = 6;
    } else if (is_high_surrogate(*unit) &&
               is_low_surrogate(escaped_unit(pair.substr(6)).value_or(0))) {
      checked_ = 12;
    } else {
      const std::string escape(pair.substr(0, 6));
      replace(6, kReplacementCharacter,
              fmt::format("{} is half of a surrogate pair; write both halves, or the character "
                          "itself",
                          escape));
    }
  }

  void check_number() {
    std::string_view number = reader_.ahead(kMaxNumberBytes + 1);
    number = number.substr(0, number.find_first_not_of(kNumberCharacters));
    if (number.size() > kMaxNumberBytes) {
      replace(number.size(), "null",
              fmt::format("a number in it has more than {} characters", kMaxNumberBytes));
      while (kNumberCharacters.find_first_of(reader_.ahead(1)) != std::string_view::npos) {
        reader_.next();
      }
    } else if (overflows(number)) {
      replace(number.size(), "null",
              fmt::format("the number {} is too large; the largest is about 1.8e308",
                          printable(number)));
    } else {
      checked_ = number.size();
    }
  }

  /// replacement: a literal.
  void replace(std::size_t bytes, std::string_view replacement, std::string&& fault) {
    for (std::size_t i = 0; i < bytes; ++i) reader_.next();
    repair_ = replacement;
    if (fault_.empty()) fault_ = std::move(fault);
  }

  const std::string file_;
  ByteReader& reader_;
  std::string_view repair_;   // rest of a replacement
  std::size_t checked_ = 0;   // next bytes known to be well-formed
  std::size_t consumed_ = 0;  // since take_fault()
  bool in_string_ = false;
  std::string fault_;  // the first since take_fault()
};

/// RepairedText as the input iterators that the parser reads from; the default one is the end.
class TextIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  TextIterator() = default;
  explicit TextIterator(RepairedText& text) : text_(&text) {}

  char operator*() const { return static_cast<char>(text_->peek()); }
  TextIterator& operator++() {
    text_->consume();
    return *this;
  }
  TextIterator operator++(int) {
    const TextIterator before = *this;
    text_->consume();
    return before;
  }
  bool operator==(const TextIterator& other) const { return at_end() == other.at_end(); }
  bool operator!=(const TextIterator& other) const { return !(*this == other); }

 private:
  bool at_end() const { return text_ == nullptr || text_->peek() == ByteReader::kEnd; }

  RepairedText* text_ = nullptr;
};

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

void deliver(RecordSink& sink, std::uint64_t number, JsonRecordBuilder::Record&& record) {
  const std::string place = fmt::format("record {}", number);
  if (record.fault.empty()) {
    sink.accept(number, place, std::move(record.value));
  } else {
    sink.reject(number, place, id_text(record.value), record.fault);
  }
}

}  // namespace

void read_json_array(ByteReader& reader, RecordSink& sink) {
  RepairedText text(reader, sink.file());
  if (text.peek() == ByteReader::kEnd) return;
  JsonRecordBuilder builder(JsonRecordBuilder::Layout::kArrayOfRecords,
                            [&](JsonRecordBuilder::Record&& record) {
                              std::string fault = text.take_fault();
                              if (!fault.empty()) record.fault = std::move(fault);
                              deliver(sink, sink.count() + 1, std::move(record));
                            });
  if (json::sax_parse(TextIterator(text), TextIterator(), &builder)) return;
  if (!builder.array_is_open()) {
    throw invalid_argument(
        fmt::format("{}: {}; it must be a JSON array of objects", sink.file(), builder.error()));
  }
  throw invalid_argument(fmt::format("{}, record {}: {}; no record behind it can be read",
                                     sink.file(), sink.count() + 1, builder.error()));
}

void read_json_lines(ByteReader& reader, RecordSink& sink) {
  reader.skip_byte_order_mark();
  std::string line;
  for (std::uint64_t line_number = 1;; ++line_number) {
    const ByteReader::Line state = reader.next_line(line, kMaxRecordBytes);
    if (state == ByteReader::Line::kEnd) return;
    const std::string place = fmt::format("line {}", line_number);
    const std::uint64_t number = sink.count() + 1;
    if (state == ByteReader::Line::kTooLong) {
      sink.reject(
          number, place, "",
          fmt::format("it is longer than {} bytes; write one object a line", kMaxRecordBytes));
      continue;
    }
    if (is_blank(line)) continue;
    if (const auto position = find_invalid_utf8(line)) {
      sink.reject(number, place, "",
                  fmt::format("byte {} is not valid UTF-8; save the catalog as UTF-8", *position));
      continue;
    }
    std::optional<JsonRecordBuilder::Record> record;
    JsonRecordBuilder builder(
        JsonRecordBuilder::Layout::kOneRecord,
        [&](JsonRecordBuilder::Record&& complete) { record = std::move(complete); });
    if (!json::sax_parse(line, &builder)) {
      sink.reject(number, place, "", builder.error() + "; write one JSON object a line");
    } else if (!record->fault.empty()) {
      sink.reject(number, place, id_text(record->value), record->fault);
    } else {
      sink.accept(number, place, std::move(record->value));
    }
  }
}

}  // namespace vitrine::storage
