#include "cli/failures.h"

#include <fmt/format.h>

#include "base/text.h"

namespace vitrine::cli {

void print_failures(std::uint64_t failed, std::span<const engine::FailedProduct> listed) {
  if (failed == 0) return;
  fmt::print("  failed    {}\n", failed);
  for (const engine::FailedProduct& failure : listed) {
    fmt::print("    record {}, id {}: {}\n", failure.record,
               failure.id.empty() ? "unknown" : printable(failure.id), failure.reason);
  }
  if (listed.size() < failed) fmt::print("    and {} more\n", failed - listed.size());
}

}  // namespace vitrine::cli
