#include "tools/prompts.h"

#include <array>
#include <set>
#include <sstream>
#include <string_view>

#include "tools/garment_look.h"

namespace vitrine::tools {
namespace {

constexpr float kSynonymChance = 0.25f;

// {a} becomes "a " or "an ", {} the noun phrase.
constexpr std::array<std::string_view, 22> kTemplates{
    "{}",
    "{a}{}",
    "{a}{}",
    "{a}{}",
    "a photo of {a}{}",
    "a photo of {a}{}",
    "a photo of {a}{}",
    "a photo of the {}",
    "a picture of {a}{}",
    "an image of {a}{}",
    "a product photo of {a}{}",
    "a close-up photo of {a}{}",
    "this is {a}{}",
    "the {}",
    "{a}{} for sale",
    "{a}{} on a plain background",
    "i am looking for {a}{}",
    "show me {a}{}",
    "a good photo of {a}{}",
    "a small photo of {a}{}",
    "my new {}",
    "buy {a}{}",
};
constexpr std::array<std::string_view, 7> kAnyGarment{
    "garment", "item", "piece of clothing", "product", "garment", "thing", "fashion item"};

bool starts_with_vowel(const std::string& text) {
  return !text.empty() && std::string_view("aeiou").find(text[0]) != std::string_view::npos;
}

std::string word_for(const Attribute& attribute, Random& random) {
  if (attribute.synonyms.empty() || !random.chance(kSynonymChance)) return attribute.name;
  return attribute.synonyms[random.below(static_cast<int>(attribute.synonyms.size()))];
}

void replace(std::string& text, std::string_view mark, const std::string& by) {
  if (const auto at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), by);
}

std::string fill(std::string_view form, const std::string& noun) {
  std::string text(form);
  replace(text, "{a}", starts_with_vowel(noun) ? "an " : "a ");
  replace(text, "{}", noun);
  return text;
}

std::string joined(const std::string& first, const std::string& second) {
  return first.empty() || second.empty() ? first + second : first + " " + second;
}

}  // namespace

bool matches(const Attributes& text, const Attributes& product) {
  return (text.garment == kUnnamed || text.garment == product.garment) &&
         (text.colour == kUnnamed || text.colour == product.colour) &&
         (text.pattern == kUnnamed || text.pattern == product.pattern);
}

std::string caption(const Attributes& product) {
  std::string noun = colours()[product.colour].name;
  if (product.pattern != kPlain) noun = joined(noun, patterns()[product.pattern].name);
  const std::string& garment = garments()[product.garment].name;
  // "Trousers" is plural: no article.
  return fill(garment.ends_with("s") && !garment.ends_with("ss") ? "{}" : "{a}{}",
              joined(noun, garment));
}

std::string draw_prompt(const Attributes& named, Random& random) {
  std::string colour, pattern, after;
  if (named.colour != kUnnamed) colour = word_for(colours()[named.colour], random);
  if (named.pattern != kUnnamed) pattern = word_for(patterns()[named.pattern], random);
  if (!colour.empty() && named.garment == kUnnamed && pattern.empty() && random.chance(0.4f)) {
    return random.chance(0.5f) ? "something " + colour : colour;  // "something red"
  }
  if (!pattern.empty() && named.garment == kUnnamed && colour.empty() && random.chance(0.2f)) {
    return pattern;
  }
  if (named.pattern == kStriped && random.chance(0.12f)) {
    pattern.clear();
    after = "with stripes";
  } else if (named.pattern == kDotted && random.chance(0.12f)) {
    pattern.clear();
    after = "with dots";
  } else if (named.pattern == kChecked && random.chance(0.12f)) {
    pattern.clear();
    after = "with checks";
  }
  const std::string garment =
      named.garment == kUnnamed
          ? std::string(kAnyGarment[random.below(static_cast<int>(kAnyGarment.size()))])
          : word_for(garments()[named.garment], random);
  const std::string look = random.chance(0.8f) ? joined(colour, pattern) : joined(pattern, colour);
  const std::string noun = joined(joined(look, garment), after);
  std::string text = fill(kTemplates[random.below(static_cast<int>(kTemplates.size()))], noun);
  if (random.chance(0.1f) && starts_with_vowel(noun)) replace(text, "an " + noun, "a " + noun);
  return text;
}

std::vector<std::string> all_prompt_words() {
  std::set<std::string> words{"something", "with", "stripes", "dots", "checks", "a", "an"};
  const auto add = [&](const std::string& text) {
    std::istringstream stream(text);
    for (std::string word; stream >> word;) words.insert(word);
  };
  for (const std::string_view form : kTemplates) add(fill(form, "item"));
  for (const std::string_view noun : kAnyGarment) add(std::string(noun));
  for (const auto table : {garments(), colours(), patterns(), grounds()}) {
    for (const Attribute& attribute : table) {
      add(attribute.name);
      for (const std::string& synonym : attribute.synonyms) add(synonym);
    }
  }
  return {words.begin(), words.end()};
}

}  // namespace vitrine::tools
