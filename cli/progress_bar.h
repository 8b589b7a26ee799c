#pragma once

#include <chrono>
#include <cstddef>
#include <iosfwd>
#include <string>

namespace vitrine::cli {

/// "[=====>    ]  4213/10000  42%  310/s  0:19 left". total 0: unknown, only the count and the
/// rate. bar_width: characters between the brackets; 0 leaves the bar out.
std::string progress_text(std::size_t done, std::size_t total, double seconds, int bar_width);

/// Shows how a long task goes: on a terminal one line that is redrawn, elsewhere a plain line every
/// few seconds. Not thread-safe.
class ProgressBar {
 public:
  using Clock = std::chrono::steady_clock;

  /// terminal: whether out understands carriage return. label: what is counted, "products".
  ProgressBar(std::ostream& out, bool terminal, std::string label);

  /// Draws when enough time went by since the last drawing, or when done reaches total.
  void update(std::size_t done, std::size_t total, Clock::time_point now = Clock::now());
  /// Draws the last state and ends the line.
  void finish(Clock::time_point now = Clock::now());

 private:
  void draw(Clock::time_point now);

  std::ostream& out_;
  const bool terminal_;
  const std::string label_;
  bool started_ = false;
  bool drawn_ = false;
  std::size_t done_ = 0;
  std::size_t total_ = 0;
  std::size_t drawn_done_ = 0;
  std::size_t drawn_width_ = 0;
  Clock::time_point start_;
  Clock::time_point last_draw_;
};

}  // namespace vitrine::cli
