#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/indexing.h"

namespace vitrine::engine {

enum class JobState {
  kRunning,
  kSucceeded,
  kFailed,
  kCancelled,
  kInterrupted,  ///< the process ended while the job ran; start it again to finish from the cache
};

/// "running", "succeeded", "failed", "cancelled" or "interrupted".
std::string_view to_string(JobState state);

/// A reindex in the background, as it was when asked for. Kept on disk, so that a restart does not
/// forget it.
struct JobStatus {
  std::string id;
  std::string catalog;
  JobState state = JobState::kRunning;
  IndexProgress progress;
  std::optional<IndexReport> report;  ///< when succeeded
  std::string error;                  ///< when failed or interrupted: what went wrong
  std::string created_at;             ///< ISO 8601, UTC
  std::string finished_at;            ///< ISO 8601, UTC; empty while running
};

}  // namespace vitrine::engine
