#include "encoder/cpu/teamwork.h"

#include <algorithm>

namespace vitrine::encoder::cpu {
namespace {

/// 64 batches for one thread: a busy server is to know within a second that cores are free again.
constexpr int kWorstLevel = 8;

}  // namespace

bool Teamwork::next_together() {
  if (alone_ == 0) return true;
  --alone_;
  return false;
}

void Teamwork::judge(std::chrono::nanoseconds took, std::chrono::nanoseconds waited, int threads) {
  // Threads that wait for one another lose about as much again where nobody sees it: queued for a
  // core, or with one that the host has taken away. One thread alone loses neither.
  const bool hindered = 2 * waited > (threads - 1) * took;
  level_ = hindered ? std::min(level_ + 1, kWorstLevel) : std::max(level_ - 1, 0);
  // Once is chance; from the second time on 1, 2, 4, ...
  alone_ = hindered ? (1 << level_) / 4 : 0;
}

}  // namespace vitrine::encoder::cpu
