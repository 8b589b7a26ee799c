#include "cli/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace vitrine::cli {

void set_up_log(const config::LogConfig& log) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("vitrine"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  spdlog::set_level(spdlog::level::from_str(log.level));
}

void set_up_quiet_log(config::LogConfig log) {
  if (log.level == "info") {
    log.level = "warn";
  }
  set_up_log(log);
}

}  // namespace vitrine::cli
