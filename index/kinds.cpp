#include "index/kinds.h"

namespace vitrine::index {

std::span<const IndexKind* const> kinds() {
  static constexpr const IndexKind* kKinds[] = {
      &kFlatKind,
      &kIvfKind,
      &kIvfPqKind,
      &kHnswKind,
  };
  return kKinds;
}

}  // namespace vitrine::index
