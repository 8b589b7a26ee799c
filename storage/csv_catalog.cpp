#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "storage/byte_reader.h"
#include "storage/catalog_formats.h"

namespace vitrine::storage {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxColumns = 4096;

/// One record as its fields. Beyond the bounds nothing is kept, but the record is read to its end.
struct CsvRecord {
  std::vector<std::string> fields;
  std::uint64_t line = 0;  ///< 1-based, where it starts
  std::string fault;       ///< empty: none
};

/// RFC 4180. A record ends at LF or CRLF outside quotes; a quote inside an unquoted field stands
/// for itself, as spreadsheets write it.
class CsvParser {
 public:
  CsvParser(ByteReader& reader, std::string file) : file_(std::move(file)), reader_(reader) {
    reader_.skip_byte_order_mark();
  }

  /// The next record that is not a blank line; false at the end of the file.
  bool next(CsvRecord& record) {
    for (;;) {
      if (reader_.peek() == ByteReader::kEnd) return false;
      record = {};
      record.line = line_;
      bytes_ = 0;
      while (next_field(record)) {
      }
      const bool blank = bytes_ == 0 && record.fields.size() == 1 && !quoted_;
      if (!blank) return true;
    }
  }

 private:
  /// Reads one field and the comma or line end behind it; true when it was a comma.
  bool next_field(CsvRecord& record) {
    std::string field;
    quoted_ = reader_.peek() == '"';
    if (quoted_) read_quoted(record, field);
    bool behind_quote = quoted_;
    for (;;) {
      const int byte = reader_.next();
      const bool line_end = byte == '\n' || (byte == '\r' && reader_.peek() == '\n');
      if (byte == '\r' && line_end) reader_.next();
      if (line_end) ++line_;
      if (line_end || byte == ',' || byte == ByteReader::kEnd) {
        if (record.fields.size() == kMaxColumns) {
          fail(record, fmt::format("it has more than {} fields", kMaxColumns));
        } else {
          record.fields.push_back(std::move(field));
        }
        return byte == ',';
      }
      if (behind_quote) {
        fail(record, fmt::format("text follows the closing quote in line {}; write quotes inside "
                                 "a quoted field twice",
                                 line_));
        behind_quote = false;
      }
      append(record, field, byte);
    }
  }

  void read_quoted(CsvRecord& record, std::string& field) {
    const std::uint64_t start = line_;
    reader_.next();
    for (;;) {
      const int byte = reader_.next();
      if (byte == ByteReader::kEnd) {
        throw invalid_argument(
            fmt::format("{}: the quote opened in line {} is never closed", file_, start));
      }
      if (byte == '"') {
        if (reader_.peek() != '"') return;
        reader_.next();
      }
      if (byte == '\n') ++line_;
      append(record, field, byte);
    }
  }

  void append(CsvRecord& record, std::string& field, int byte) {
    if (++bytes_ > kMaxRecordBytes) {
      fail(record, fmt::format("it is larger than {} bytes; is a quote missing?", kMaxRecordBytes));
      field.clear();
    } else {
      field += static_cast<char>(byte);
    }
  }

  static void fail(CsvRecord& record, const std::string& fault) {
    if (record.fault.empty()) record.fault = fault;
  }

  const std::string file_;
  ByteReader& reader_;
  std::uint64_t line_ = 1;
  std::size_t bytes_ = 0;  // of the record at hand
  bool quoted_ = false;    // the last field
};

std::vector<std::string> read_header(CsvParser& parser, const RecordSink& sink) {
  const std::string& file = sink.file();
  CsvRecord header;
  if (!parser.next(header)) return {};
  if (!header.fault.empty()) {
    throw invalid_argument(fmt::format("{}: the header row is malformed: {}", file, header.fault));
  }
  std::vector<std::string>& columns = header.fields;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].empty()) columns[i] = fmt::format("column_{}", i + 1);
    if (find_invalid_utf8(columns[i])) {
      throw invalid_argument(
          fmt::format("{}: the name of column {} is not valid UTF-8; save the "
                      "catalog as UTF-8",
                      file, i + 1));
    }
    if (std::find(columns.begin(), columns.begin() + static_cast<std::ptrdiff_t>(i), columns[i]) !=
        columns.begin() + static_cast<std::ptrdiff_t>(i)) {
      throw invalid_argument(
          fmt::format("{}: two columns are named \"{}\"", file, printable(columns[i])));
    }
  }
  for (const std::string_view required : {"id", "image", "caption"}) {
    if (!sink.requires_field(required)) continue;
    if (std::find(columns.begin(), columns.end(), required) == columns.end()) {
      throw invalid_argument(
          fmt::format("{}: the header row has no column \"{}\"; it has: {}. The first line must "
                      "name the columns, separated by commas",
                      file, required, printable(fmt::format("{}", fmt::join(columns, ", ")), 300)));
    }
  }
  return columns;
}

/// A number if it is written as a price may be, and none of its digits is lost: with zeros at the
/// end ("19.90"), but neither an exponent ("12E4" is an article's code) nor more digits than a
/// double has. Else the text.
json attribute_value(std::string&& text) {
  if (text.find_first_not_of("0123456789.-") != std::string::npos) return std::move(text);
  std::string_view shortest = text;
  if (shortest.find('.') != std::string_view::npos) {
    while (shortest.ends_with("0") && !shortest.ends_with(".0")) shortest.remove_suffix(1);
  }
  json number = json::parse(shortest, nullptr, /*allow_exceptions=*/false);
  if (number.is_number() && number.dump() == shortest) return number;
  return std::move(text);
}

}  // namespace

void read_csv(ByteReader& reader, RecordSink& sink) {
  CsvParser parser(reader, sink.file());
  const std::vector<std::string> columns = read_header(parser, sink);
  CsvRecord record;
  for (std::uint64_t number = 1; parser.next(record); ++number) {
    const std::string place = fmt::format("record {} (line {})", number, record.line);
    json object = json::object();
    for (std::size_t i = 0; i < std::min(columns.size(), record.fields.size()); ++i) {
      std::string& text = record.fields[i];
      if (text.empty()) continue;
      const bool own = columns[i] == "id" || columns[i] == "image" || columns[i] == "caption";
      object[columns[i]] = own ? json(std::move(text)) : attribute_value(std::move(text));
    }
    if (record.fault.empty() && record.fields.size() != columns.size()) {
      record.fault = fmt::format(
          "it has {} fields; the header row has {}: quote fields that "
          "contain a comma",
          record.fields.size(), columns.size());
    }
    if (record.fault.empty()) {
      sink.accept(number, place, std::move(object));
    } else {
      sink.reject(number, place, id_text(object), record.fault);
    }
  }
}

}  // namespace vitrine::storage
