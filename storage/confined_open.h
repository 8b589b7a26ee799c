#pragma once

#include <string>

#include "base/descriptor.h"

namespace vitrine::storage {

/// How names are kept below their root.
enum class Confinement {
  kKernel,  ///< openat2(RESOLVE_BENEATH): Linux 5.6 and later, unless a sandbox forbids the call
  kWalk,    ///< component by component without following links: every other system
};

/// kKernel where it works, else kWalk.
Confinement best_confinement();

/// Opens root/name for reading without ever leaving root, whatever symbolic links lie on the way
/// and whoever moves folders meanwhile: links that are absolute or lead out are refused, relative
/// ones that stay inside are followed. Never waits for a named pipe's writer.
/// Invalid on failure, with errno set: EXDEV when the name leads out of the root.
Descriptor open_beneath(const Descriptor& root, const std::string& name, Confinement confinement);

}  // namespace vitrine::storage
