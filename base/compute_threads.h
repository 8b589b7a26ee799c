#pragma once

namespace vitrine {

/// LibTorch, FAISS and OpenBLAS take their parallelism from OpenMP, whose thread count is a
/// property of the calling thread. This is the one place that sets it: each thread of ours that
/// computes calls it once, so that all of them together never oversubscribe the cores.
/// threads: at least 1; 0 means every core this process may run on.
void set_compute_threads_of_this_thread(int threads);

/// Lets the calling thread, and every thread that it starts from now on, give way to the others:
/// it gets about a tenth of a core that they want, and all of one that is idle. There is no way
/// back. For work that nobody waits for, before its first parallel region.
void set_background_priority_of_this_thread();

/// Cores this process may run on, at least 1.
int available_cores();

}  // namespace vitrine
