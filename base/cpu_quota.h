#pragma once

#include <filesystem>
#include <optional>

namespace vitrine {

/// How many CPUs' time the control groups of this process let it use, as `docker run --cpus`,
/// Kubernetes' limits and systemd's CPUQuota= set it: the least of its own group's and those above;
/// nothing without a limit. May be a fraction. Of control groups of both versions.
/// proc: where Linux tells of the process.
std::optional<double> cpu_quota(const std::filesystem::path& proc = "/proc/self");

}  // namespace vitrine
