#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace vitrine::encoder {

/// Turns texts into what a text tower reads. Immutable; safe to use from many threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of the text, not padded: the tokens that every text has (such as start and end) and, of
  /// the text's own, as many as max_length leaves room for. text: UTF-8. max_length: at least what
  /// the tokens of every text take. truncated, when given, tells whether tokens were cut.
  /// Throws InvalidArgument when the text is not UTF-8 or max_length is too small.
  virtual std::vector<std::int32_t> encode(std::string_view text, int max_length,
                                           bool* truncated = nullptr) const = 0;

  /// One more than the largest id.
  virtual int vocab_size() const = 0;
};

}  // namespace vitrine::encoder
