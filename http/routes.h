#pragma once

#include <span>

#include "http/router.h"

namespace vitrine::http {

/// The table of endpoints.
std::span<const Route> routes();

}  // namespace vitrine::http
