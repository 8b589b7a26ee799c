#pragma once

#include <string>

namespace vitrine::storage {

/// How names are kept below their root.
enum class Confinement {
  kKernel,  ///< openat2(RESOLVE_BENEATH): Linux 5.6 and later, unless a sandbox forbids the call
  kWalk,    ///< component by component without following links: every other system
};

/// kKernel where it works, else kWalk.
Confinement best_confinement();

/// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return value_; }
  bool valid() const { return value_ >= 0; }

 private:
  int value_ = -1;
};

/// Opens root/name for reading without ever leaving root, whatever symbolic links lie on the way
/// and whoever moves folders meanwhile: links that are absolute or lead out are refused, relative
/// ones that stay inside are followed. Never waits for a named pipe's writer.
/// Invalid on failure, with errno set: EXDEV when the name leads out of the root.
Descriptor open_beneath(const Descriptor& root, const std::string& name, Confinement confinement);

}  // namespace vitrine::storage
