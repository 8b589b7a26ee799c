#pragma once

#include <chrono>

namespace vitrine::engine {

/// Whose turn it is when both queries and indexing wait for the encoder. Queries go first, but
/// indexing gets one part in 1 + kQueryShare of the encoder's time however many queries come: after
/// a pass of indexing, queries have the encoder for kQueryShare times as long as that pass took.
/// Time, not passes, because a pass of eight images costs as much as a hundred of a short text.
class FairShare {
 public:
  using Duration = std::chrono::steady_clock::duration;
  static constexpr int kQueryShare = 4;

  bool indexing_is_due() const { return owed_to_queries_ <= Duration::zero(); }

  void indexing_ran(Duration time) { owed_to_queries_ = kQueryShare * time; }
  void queries_ran(Duration time) { owed_to_queries_ -= time; }

 private:
  Duration owed_to_queries_ = Duration::zero();
};

}  // namespace vitrine::engine
