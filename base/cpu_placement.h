#pragma once

#include <span>

namespace vitrine {

inline constexpr int kNoCpu = -1;

/// The logical CPU that runs the calling thread at this moment; kNoCpu where the system does not
/// say. Takes nanoseconds.
int current_cpu();

/// Moves the calling thread to a CPU it may use and that is none of `taken`; stays where there is
/// none. Where the thread may run afterwards is what it was before. Takes microseconds.
void leave_cpus(std::span<const int> taken);

}  // namespace vitrine
