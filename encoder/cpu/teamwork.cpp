#include "encoder/cpu/teamwork.h"

#include <algorithm>

namespace vitrine::encoder::cpu {
namespace {

/// In batches: whether the cores are free again is to be known within a second.
constexpr int kLongestPenalty = 64;

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
  penalty_ = hindered ? std::clamp(2 * penalty_, 1, kLongestPenalty) : penalty_ / 2;
  alone_ = hindered ? penalty_ : 0;
}

}  // namespace vitrine::encoder::cpu
