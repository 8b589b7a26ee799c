#include "encoder/text_cleaning.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <iterator>

#include "encoder/code_points.h"

namespace vitrine::encoder {
namespace {

/// Python's set: Unicode's, and the four separators of ASCII.
bool is_space(UChar32 c) {
  return (c >= 0x1c && c <= 0x1f) || u_hasBinaryProperty(c, UCHAR_WHITE_SPACE) != 0;
}

bool is_ascii_alphanumeric(UChar32 c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/// All that is visible in ASCII and neither letter nor digit.
bool is_ascii_punctuation(UChar32 c) { return c > 0x20 && c < 0x7f && !is_ascii_alphanumeric(c); }

/// Of ASCII, but tabs and what ends lines and pages.
bool is_control(UChar32 c) {
  return (c < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r') || c == 0x7f;
}

/// The characters that Windows-1252 has at 0x80 on, where Unicode has controls.
constexpr char16_t kWindows1252[32] = {
    0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
    0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};

UChar32 without_c1_control(UChar32 c) { return c >= 0x80 && c < 0xa0 ? kWindows1252[c - 0x80] : c; }

struct NamedCharacter {
  std::string_view name;
  UChar32 character;
};
constexpr NamedCharacter kNamedCharacters[] = {
    {"apos", '\''},     {"OElig", 0x152},   {"oelig", 0x153},   {"Scaron", 0x160},
    {"scaron", 0x161},  {"Yuml", 0x178},    {"ensp", 0x2002},   {"emsp", 0x2003},
    {"thinsp", 0x2009}, {"zwnj", 0x200c},   {"zwj", 0x200d},    {"ndash", 0x2013},
    {"mdash", 0x2014},  {"lsquo", 0x2018},  {"rsquo", 0x2019},  {"sbquo", 0x201a},
    {"ldquo", 0x201c},  {"rdquo", 0x201d},  {"bdquo", 0x201e},  {"dagger", 0x2020},
    {"bull", 0x2022},   {"hellip", 0x2026}, {"permil", 0x2030}, {"prime", 0x2032},
    {"Prime", 0x2033},  {"lsaquo", 0x2039}, {"rsaquo", 0x203a}, {"euro", 0x20ac},
    {"trade", 0x2122},  {"minus", 0x2212}};
/// Names that need no semicolon, as those of Latin-1.
constexpr NamedCharacter kOldNames[] = {{"amp", '&'},   {"AMP", '&'}, {"lt", '<'},   {"LT", '<'},
                                        {"gt", '>'},    {"GT", '>'},  {"quot", '"'}, {"QUOT", '"'},
                                        {"COPY", 0xa9}, {"REG", 0xae}};
/// From U+00A0 on.
constexpr std::string_view kLatin1Names[] = {
    "nbsp",   "iexcl",  "cent",   "pound",  "curren", "yen",    "brvbar", "sect",   "uml",
    "copy",   "ordf",   "laquo",  "not",    "shy",    "reg",    "macr",   "deg",    "plusmn",
    "sup2",   "sup3",   "acute",  "micro",  "para",   "middot", "cedil",  "sup1",   "ordm",
    "raquo",  "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc",  "Atilde",
    "Auml",   "Aring",  "AElig",  "Ccedil", "Egrave", "Eacute", "Ecirc",  "Euml",   "Igrave",
    "Iacute", "Icirc",  "Iuml",   "ETH",    "Ntilde", "Ograve", "Oacute", "Ocirc",  "Otilde",
    "Ouml",   "times",  "Oslash", "Ugrave", "Uacute", "Ucirc",  "Uuml",   "Yacute", "THORN",
    "szlig",  "agrave", "aacute", "acirc",  "atilde", "auml",   "aring",  "aelig",  "ccedil",
    "egrave", "eacute", "ecirc",  "euml",   "igrave", "iacute", "icirc",  "iuml",   "eth",
    "ntilde", "ograve", "oacute", "ocirc",  "otilde", "ouml",   "divide", "oslash", "ugrave",
    "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml"};
static_assert(std::size(kLatin1Names) == 0x60);

/// A character reference of HTML.
struct Reference {
  std::size_t length = 0;  ///< bytes of the text; 0: it does not begin with one
  UChar32 character = 0;   ///< 0: none
};

UChar32 referred_character(UChar32 number) {
  constexpr UChar32 kReplacement = 0xfffd;
  if (number == 0 || number > 0x10ffff || U_IS_SURROGATE(number)) return kReplacement;
  if (number >= 0x80 && number < 0xa0) return without_c1_control(number);
  return is_control(number) || U_IS_UNICODE_NONCHAR(number) ? 0 : number;
}

/// text: behind "&#".
Reference numeric_reference(std::string_view text) {
  const bool hexadecimal = text.starts_with('x') || text.starts_with('X');
  const int base = hexadecimal ? 16 : 10;
  const std::size_t first = hexadecimal ? 1 : 0;
  std::size_t end = first;
  UChar32 number = 0;
  for (; end < text.size(); ++end) {
    const int digit =
        u_digit(static_cast<unsigned char>(text[end]), static_cast<std::int8_t>(base));
    if (digit < 0) break;
    number = std::min(number * base + digit, 0x110000);
  }
  if (end == first) return {};
  if (end < text.size() && text[end] == ';') ++end;
  return {end, referred_character(number)};
}

/// text: behind "&".
Reference named_reference(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && is_ascii_alphanumeric(text[end])) ++end;
  const bool whole = end < text.size() && text[end] == ';';
  Reference longest;
  const auto consider = [&](std::string_view name, UChar32 character) {
    if (whole ? text.substr(0, end) == name : text.starts_with(name)) {
      if (name.size() > longest.length) longest = {name.size(), character};
    }
  };
  for (const NamedCharacter& old : kOldNames) consider(old.name, old.character);
  UChar32 character = 0xa0;
  for (const std::string_view name : kLatin1Names) consider(name, character++);
  if (!whole) return longest;
  for (const NamedCharacter& named : kNamedCharacters) consider(named.name, named.character);
  if (longest.length > 0) ++longest.length;
  return longest;
}

std::string unescaped(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (;;) {
    const std::size_t start = text.find('&');
    result += text.substr(0, start);
    if (start == std::string_view::npos) return result;
    text.remove_prefix(start + 1);
    const bool numeric = text.starts_with('#');
    Reference reference = numeric ? numeric_reference(text.substr(1)) : named_reference(text);
    if (reference.length == 0) {
      result += '&';
      continue;
    }
    if (reference.character != 0) append_utf8(result, reference.character);
    text.remove_prefix(reference.length + (numeric ? 1 : 0));
  }
}

/// Length of the sequence that colours text on a terminal, at the beginning of this one, or 0.
std::size_t terminal_escape_length(std::string_view text) {
  if (!text.starts_with("\x1b[")) return 0;
  const std::size_t end = text.find_first_not_of("0123456789;", 2);
  if (end == std::string_view::npos) return 0;
  const char last = text[end];
  const bool letter = (last >= 'A' && last <= 'Z') || (last >= 'a' && last <= 'z');
  return letter ? end + 1 : 0;
}

bool is_unwanted(UChar32 c) {
  return is_control(c) || (c >= 0x206a && c <= 0x206f) || c == 0xfeff ||
         (c >= 0xfff9 && c <= 0xfffc);
}

/// The letters of a ligature, or nothing for another character.
std::string_view ligature_letters(UChar32 c) {
  constexpr std::string_view kDigraphs[] = {"D\u017d", "D\u017e", "d\u017e", "LJ", "Lj",
                                            "lj",      "NJ",      "Nj",      "nj"};  // U+01C4 on
  constexpr std::string_view kDz[] = {"DZ", "Dz", "dz"};                             // U+01F1 on
  constexpr std::string_view kTypographic[] = {"ff",  "fi",      "fl", "ffi",
                                               "ffl", "\u017ft", "st"};  // U+FB00 on
  if (c == 0x132) return "IJ";
  if (c == 0x133) return "ij";
  if (c == 0x149) return "'n";
  if (c >= 0x1c4 && c <= 0x1cc) return kDigraphs[c - 0x1c4];
  if (c >= 0x1f1 && c <= 0x1f3) return kDz[c - 0x1f1];
  if (c >= 0xfb00 && c <= 0xfb06) return kTypographic[c - 0xfb00];
  return {};
}

/// Of a wide or narrow variant the character itself.
UChar32 of_usual_width(UChar32 c) {
  if (c == 0x3000) return ' ';
  if (c < 0xff01 || c > 0xffef) return c;
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* nfkc = icu::Normalizer2::getNFKCInstance(status);
  if (U_FAILURE(status)) return c;
  const icu::UnicodeString usual = nfkc->normalize(icu::UnicodeString(c), status);
  return U_SUCCESS(status) && usual.countChar32() == 1 ? usual.char32At(0) : c;
}

UChar32 straight_quote(UChar32 c) {
  if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b)) return '\'';
  if (c >= 0x201c && c <= 0x201f) return '"';
  return c;
}

std::string with_usual_characters(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    if (const auto escape = terminal_escape_length(text.substr(position)); escape > 0) {
      position += escape;
      continue;
    }
    const UChar32 c = without_c1_control(next_code_point(text, position));
    if (is_unwanted(c)) continue;
    if (const std::string_view letters = ligature_letters(c); !letters.empty()) {
      result += letters;
    } else {
      append_utf8(result, straight_quote(of_usual_width(c)));
    }
  }
  return result;
}

}  // namespace

std::string repaired(std::string_view text) {
  const auto unescaped_twice = [](std::string_view escaped) {
    return unescaped(unescaped(escaped));
  };
  // ftfy leaves character references to HTML, which it knows by "<"; then only html.unescape() is
  // left, and comes last.
  if (text.find('<') != std::string_view::npos) return unescaped_twice(with_usual_characters(text));
  return with_usual_characters(unescaped_twice(text));
}

std::string lower_each_character(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    append_lower_case(result, next_code_point(text, position));
  }
  return result;
}

std::string lower_whole_text(std::string_view text) {
  std::string result;
  icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())))
      .toLower(icu::Locale::getRoot())
      .toUTF8String(result);
  return result;
}

std::string without_punctuation(std::string_view text, std::size_t max_bytes) {
  std::string result;
  bool after_space = false;
  for (std::size_t position = 0; position < text.size() && result.size() <= max_bytes;) {
    const UChar32 c = next_code_point(text, position);
    if (is_ascii_punctuation(c)) continue;
    if (is_space(c)) {
      after_space = true;
      continue;
    }
    if (after_space && !result.empty()) result += ' ';
    after_space = false;
    append_utf8(result, c);
  }
  return result;
}

}  // namespace vitrine::encoder
