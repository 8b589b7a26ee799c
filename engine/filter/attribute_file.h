#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

/// What is in the file of an attribute index. Little endian; every array begins at a multiple of 8
/// bytes, behind zeros.
///
///   magic [8], u64 rows, u64 fields, then each field, ascending by name:
///   u64 length of the name, its bytes; u64 1 where some product has an object there, or 0;
///   postings of the states; postings of false and true;
///   texts: u64 count, u64 offsets [count + 1], bytes, postings [count];
///   integers: u64 count, i64 values [count], postings [count];
///   reals, and texts that are numbers: the same with f64.
///   Postings of n values: u64 starts [n + 1], u32 pool [starts[n]] (postings.h).
///   Values ascend strictly.
namespace vitrine::engine::attribute_file {

inline constexpr std::string_view kMagic = "VTRATTR1";
inline constexpr std::size_t kAlignment = 8;

/// What the rows of a field's states have.
enum State : std::size_t {
  kPresent,   ///< a value, a list that is not empty, or an object
  kNull,      ///< null
  kLongText,  ///< a text longer than a filter can name
  kStates,
};

}  // namespace vitrine::engine::attribute_file
