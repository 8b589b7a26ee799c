#include "storage/json_record_builder.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"
#include "storage/record_sink.h"

namespace vitrine::storage {
namespace {

using nlohmann::json;

constexpr std::size_t kScalarBytes = 16;  // what a value costs besides its text, about

}  // namespace

bool JsonRecordBuilder::null() { return add(nullptr, kScalarBytes); }
bool JsonRecordBuilder::boolean(bool value) { return add(value, kScalarBytes); }
bool JsonRecordBuilder::number_integer(number_integer_t value) { return add(value, kScalarBytes); }
bool JsonRecordBuilder::number_unsigned(number_unsigned_t value) {
  return add(value, kScalarBytes);
}
bool JsonRecordBuilder::number_float(number_float_t value, const string_t&) {
  return add(value, kScalarBytes);
}
bool JsonRecordBuilder::string(string_t& value) {
  const std::size_t bytes = kScalarBytes + value.size();
  return add(std::move(value), bytes);
}
bool JsonRecordBuilder::binary(binary_t&) { return add(nullptr, kScalarBytes); }
bool JsonRecordBuilder::start_object(std::size_t) { return open(json::object()); }
bool JsonRecordBuilder::end_object() { return close(); }
bool JsonRecordBuilder::start_array(std::size_t) { return open(json::array()); }
bool JsonRecordBuilder::end_array() { return close(); }

bool JsonRecordBuilder::key(string_t& name) {
  bytes_ += name.size();
  key_ = std::move(name);
  return true;
}

bool JsonRecordBuilder::parse_error(std::size_t, const std::string&,
                                    const json::exception& exception) {
  // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
  const std::string_view what = exception.what();
  const std::size_t start = what.find("] ");
  error_ = printable(start == std::string_view::npos ? what : what.substr(start + 2), 300);
  return false;
}

bool JsonRecordBuilder::outside_array(const char* found) {
  error_ = fmt::format("the file is a JSON {}", found);
  return false;
}

bool JsonRecordBuilder::add(json&& value, std::size_t bytes) {
  if (layout_ == Layout::kArrayOfRecords && !array_open_) return outside_array(value.type_name());
  bytes_ += bytes;
  if (bytes_ > kMaxRecordBytes) {
    fail(fmt::format("it is larger than {} bytes", kMaxRecordBytes));
  }
  if (fault_.empty()) place(std::move(value));
  if (depth_ == 0) finish_record();
  return true;
}

bool JsonRecordBuilder::open(json&& container) {
  if (layout_ == Layout::kArrayOfRecords && !array_open_) {
    if (!container.is_array()) return outside_array(container.type_name());
    array_open_ = true;
    return true;
  }
  ++depth_;
  bytes_ += kScalarBytes;
  if (depth_ > kMaxDepth) {
    fail(fmt::format("it is nested deeper than {} levels", kMaxDepth));
  } else if (bytes_ > kMaxRecordBytes) {
    fail(fmt::format("it is larger than {} bytes", kMaxRecordBytes));
  }
  if (fault_.empty()) open_.push_back(place(std::move(container)));
  return true;
}

bool JsonRecordBuilder::close() {
  if (depth_ == 0) return true;  // the array of records ends
  --depth_;
  if (fault_.empty()) open_.pop_back();
  if (depth_ == 0) finish_record();
  return true;
}

/// A container that is still open never moves: only its innermost open child is added to.
json* JsonRecordBuilder::place(json&& value) {
  if (open_.empty()) {
    root_ = std::move(value);
    return &root_;
  }
  json& parent = *open_.back();
  if (parent.is_array()) {
    parent.push_back(std::move(value));
    return &parent.back();
  }
  return &(parent[key_] = std::move(value));
}

void JsonRecordBuilder::fail(const std::string& fault) {
  if (!fault_.empty()) return;
  fault_ = fault;
  const std::string id = id_text(root_);
  root_ = id.empty() ? json::object() : json{{"id", id}};
  open_.clear();
}

void JsonRecordBuilder::finish_record() {
  Record record{std::exchange(root_, nullptr), std::exchange(fault_, {})};
  open_.clear();
  bytes_ = 0;
  on_record_(std::move(record));
}

}  // namespace vitrine::storage
