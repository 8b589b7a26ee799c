#pragma once

#include <cstdint>
#include <span>

#include "engine/indexing.h"

namespace vitrine::cli {

/// Prints how many products failed, and the reasons of those that are listed; nothing when none
/// did.
void print_failures(std::uint64_t failed, std::span<const engine::FailedProduct> listed);

}  // namespace vitrine::cli
