#pragma once

#include <chrono>

namespace vitrine::encoder::cpu {

/// Decides whether all threads take a batch together, which is faster than one thread alone, or of
/// many rows each its own, unless another process, or another guest of the same host, has one of
/// their cores: they meet at a hundred barriers, and each time all wait for whoever has no core.
/// Not thread-safe.
class Teamwork {
 public:
  /// Whether to take the next batch together: called once a batch.
  bool next_together();
  /// Whether next_together() will say no.
  bool is_hindered() const { return alone_ > 0; }

  /// What came of a batch that was taken together: how long it took, and how long so many threads
  /// waited at barriers, summed up.
  void judge(std::chrono::nanoseconds took, std::chrono::nanoseconds waited, int threads);

 private:
  int alone_ = 0;  // batches that one thread takes before all try again
  int level_ = 0;  // how many more batches threads waited in than went well
};

}  // namespace vitrine::encoder::cpu
