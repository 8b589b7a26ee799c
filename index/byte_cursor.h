#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace vitrine::index {

/// Reads what FAISS has written, from its front, at any address. Throws Corruption where it ends
/// before what is asked for.
class ByteCursor {
 public:
  explicit ByteCursor(std::string_view bytes) : left_(bytes) {}

  std::string_view left() const { return left_; }
  bool empty() const { return left_.empty(); }

  std::string_view take(std::size_t size) {
    if (size > left_.size()) throw corruption("it is cut off");
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

  /// The bytes of a number of elements that goes before them.
  template <class T>
  std::string_view array() {
    const auto count = number<std::uint64_t>();
    if (count > left_.size() / sizeof(T)) throw corruption("it is cut off");
    return take(count * sizeof(T));
  }

  /// The same elements, where they are aligned.
  template <class T>
  void read(std::vector<T>& elements) {
    const std::string_view bytes = array<T>();
    elements.resize(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(elements.data(), bytes.data(), bytes.size());
  }

 private:
  std::string_view left_;
};

}  // namespace vitrine::index
