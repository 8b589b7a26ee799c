#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "encoder/tokenizer.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

/// Tokenizes any bytes, and requires what holds for every tokenizer. check(ids, truncated) requires
/// what holds for this one.
template <typename Check>
void check_text(const encoder::Tokenizer& tokenizer, std::string_view text, int length,
                const Check& check) {
  bool accepted = false;
  refusable([&] {
    bool truncated = false;
    const std::vector<std::int32_t> ids = tokenizer.encode(text, length, &truncated);
    accepted = true;
    require(!ids.empty() && ids.size() <= static_cast<std::size_t>(length),
            "a text is longer than its context");
    for (const std::int32_t id : ids) {
      require(id >= 0 && id < tokenizer.vocab_size(), "an id is not in the vocabulary");
    }
    check(ids, truncated);
    // What fits keeps its ids in any longer context.
    if (!truncated) {
      require(tokenizer.encode(text, length + 1) == ids, "ids depend on room that is not needed");
    }
  });
  require(accepted != find_invalid_utf8(text).has_value(), "UTF-8 and nothing else is a text");
}

}  // namespace vitrine::fuzz
