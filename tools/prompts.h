#pragma once

#include <string>
#include <vector>

#include "tools/random.h"

namespace vitrine::tools {

constexpr int kUnnamed = -1;

/// What a text says of a product: indices into garments(), colours(), patterns(), or kUnnamed.
struct Attributes {
  int garment = kUnnamed, colour = kUnnamed, pattern = kUnnamed;
};

/// True when the product has every attribute that the text names.
bool matches(const Attributes& text, const Attributes& product);

/// The catalogue's caption, such as "a red striped dress"; plain goes unsaid.
std::string caption(const Attributes& product);

/// A text naming exactly these attributes, in one of many forms and with synonyms now and then.
std::string draw_prompt(const Attributes& named, Random& random);

/// Every word form that draw_prompt can write, for learning a vocabulary.
std::vector<std::string> all_prompt_words();

}  // namespace vitrine::tools
