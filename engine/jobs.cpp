#include "engine/jobs.h"

namespace vitrine::engine {

std::string_view to_string(JobKind kind) {
  switch (kind) {
    case JobKind::kReindex:
      return "reindex";
    case JobKind::kMerge:
      return "merge";
    case JobKind::kExperiment:
      return "experiment";
    case JobKind::kTune:
      return "tune";
  }
  return "unknown";
}

std::string_view to_string(JobState state) {
  switch (state) {
    case JobState::kRunning:
      return "running";
    case JobState::kSucceeded:
      return "succeeded";
    case JobState::kFailed:
      return "failed";
    case JobState::kCancelled:
      return "cancelled";
    case JobState::kInterrupted:
      return "interrupted";
  }
  return "unknown";
}

}  // namespace vitrine::engine
