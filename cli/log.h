#pragma once

#include "config/config.h"

namespace vitrine::cli {

/// Sends log lines to stderr, from `level` on: stdout is for results.
void set_up_log(const config::LogConfig& log);

/// The same for a command that answers and ends: what a service tells at level info is noise there,
/// so "info" means "warn".
void set_up_quiet_log(config::LogConfig log);

}  // namespace vitrine::cli
