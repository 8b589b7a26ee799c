#pragma once

#include "config/config.h"

namespace vitrine::cli {

/// Sends log lines to stderr, from `level` on: stdout is for results.
void set_up_log(const config::LogConfig& log);

}  // namespace vitrine::cli
