#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vitrine::storage {

/// Listens to a JSON parser and hands out one record at a time, bounded in depth and size: what
/// exceeds the bounds is parsed on, but not kept.
class JsonRecordBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  /// Containers in one another, the record itself included.
  static constexpr std::size_t kMaxDepth = 32;

  enum class Layout { kOneRecord, kArrayOfRecords };

  /// What came of one record. With a fault, value holds at most its id.
  struct Record {
    nlohmann::json value;
    std::string fault;
  };

  /// on_record may throw, which ends the parsing.
  JsonRecordBuilder(Layout layout, std::function<void(Record&&)> on_record)
      : layout_(layout), on_record_(std::move(on_record)) {}

  /// The parser's message, cut to a readable length; empty while there is no error.
  const std::string& error() const { return error_; }

  /// Whether the array of records has begun.
  bool array_is_open() const { return array_open_; }

  bool null() override;
  bool boolean(bool value) override;
  bool number_integer(number_integer_t value) override;
  bool number_unsigned(number_unsigned_t value) override;
  bool number_float(number_float_t value, const string_t& text) override;
  bool string(string_t& value) override;
  bool binary(binary_t& value) override;
  bool start_object(std::size_t elements) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(std::size_t elements) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::json::exception& exception) override;

 private:
  bool add(nlohmann::json&& value, std::size_t bytes);
  bool open(nlohmann::json&& container);
  bool close();
  nlohmann::json* place(nlohmann::json&& value);
  bool outside_array(const char* found);
  void fail(const std::string& fault);
  void finish_record();

  const Layout layout_;
  const std::function<void(Record&&)> on_record_;
  std::string error_;
  bool array_open_ = false;
  // Of the record at hand.
  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;  // from the root down; none once a fault is known
  std::string key_;                    // of the value to come
  std::size_t depth_ = 0;
  std::size_t bytes_ = 0;
  std::string fault_;
};

}  // namespace vitrine::storage
