#include <fmt/format.h>

#include <iterator>
#include <optional>
#include <string>
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

constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

/// A file's bytes with malformed UTF-8 replaced and remembered, because the parser would give up
/// the whole file over one broken caption.
class RepairedText {
 public:
  RepairedText(ByteReader& reader, std::string file) : file_(std::move(file)), reader_(reader) {
    reader_.skip_byte_order_mark();
  }

  int peek() {
    if (!repair_.empty()) return static_cast<unsigned char>(repair_.front());
    const int byte = reader_.peek();
    if (byte < 0x80 || checked_ > 0) return byte;
    const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    const std::string_view code_point = reader_.ahead(length);
    if (code_point.size() == length && !find_invalid_utf8(code_point)) {
      checked_ = length;
      return byte;
    }
    malformed_ = true;
    reader_.next();
    repair_ = kReplacementCharacter;
    return static_cast<unsigned char>(repair_.front());
  }

  void consume() {
    if (++consumed_ > kMaxParsedBytes) {
      throw resource_exhausted(
          fmt::format("{}: a record is larger than {} bytes; at most {} are read", file_,
                      kMaxParsedBytes, kMaxRecordBytes));
    }
    if (!repair_.empty()) {
      repair_.remove_prefix(1);
    } else {
      reader_.next();
      if (checked_ > 0) --checked_;
    }
  }

  /// Whether anything was replaced since the last call; also begins a new byte count.
  bool take_malformed() {
    consumed_ = 0;
    return std::exchange(malformed_, false);
  }

 private:
  const std::string file_;
  ByteReader& reader_;
  std::string_view repair_;   // rest of a replacement character
  std::size_t checked_ = 0;   // next bytes known to be well-formed
  std::size_t consumed_ = 0;  // since take_malformed()
  bool malformed_ = false;
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
                              if (text.take_malformed()) {
                                record.fault = "it is not valid UTF-8; save the catalog as UTF-8";
                              }
                              deliver(sink, sink.count() + 1, std::move(record));
                            });
  if (json::sax_parse(TextIterator(text), TextIterator(), &builder)) return;
  throw invalid_argument(fmt::format("{}, record {}: {}; it must be a JSON array of objects",
                                     sink.file(), sink.count() + 1, builder.error()));
}

void read_json_lines(ByteReader& reader, RecordSink& sink) {
  reader.skip_byte_order_mark();
  std::string line;
  for (std::uint64_t number = 1;; ++number) {
    const ByteReader::Line state = reader.next_line(line, kMaxRecordBytes);
    if (state == ByteReader::Line::kEnd) return;
    const std::string place = fmt::format("line {}", number);
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
