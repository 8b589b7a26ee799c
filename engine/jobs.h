#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/experiment.h"
#include "engine/indexing.h"
#include "engine/tuning.h"

namespace vitrine::engine {

enum class JobState {
  kRunning,
  kSucceeded,
  kFailed,
  kCancelled,
  kInterrupted,  ///< the process ended while the job ran; start it again to finish from the cache
};

enum class JobKind {
  kReindex,     ///< a generation from the catalog file
  kMerge,       ///< a generation from the current one and the updates on top of it
  kExperiment,  ///< kinds of index and their parameters are measured (experiment.h)
  kTune,        ///< the same, and a generation as was chosen (tuning.h)
};

/// "reindex", "merge", "experiment" or "tune".
std::string_view to_string(JobKind kind);

/// "running", "succeeded", "failed", "cancelled" or "interrupted".
std::string_view to_string(JobState state);

/// Work on a catalog in the background, as it was when asked for. Kept on disk, so that a restart
/// does not forget it.
struct JobStatus {
  std::string id;
  std::string catalog;
  JobKind kind = JobKind::kReindex;
  JobState state = JobState::kRunning;
  IndexProgress progress;
  // One of them, when succeeded.
  std::optional<IndexReport> report;           ///< of a reindex or a merge
  std::optional<ExperimentReport> experiment;  ///< of an experiment
  std::optional<TuningReport> tuning;          ///< of a tuning
  std::string error;                           ///< when failed or interrupted: what went wrong
  std::string created_at;                      ///< ISO 8601, UTC
  std::string finished_at;                     ///< ISO 8601, UTC; empty while running
};

}  // namespace vitrine::engine
