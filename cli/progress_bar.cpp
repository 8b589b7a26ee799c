#include "cli/progress_bar.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ostream>

namespace vitrine::cli {
namespace {

constexpr auto kTerminalPeriod = std::chrono::milliseconds(100);
constexpr auto kPlainPeriod = std::chrono::seconds(5);
constexpr int kBarWidth = 30;

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(std::ceil(seconds));
  if (whole >= 3600) {
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

std::string progress_text(std::size_t done, std::size_t total, double seconds, int bar_width) {
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const std::string speed =
      rate >= 10 ? fmt::format("{:.0f}/s", rate) : fmt::format("{:.1f}/s", rate);
  if (total == 0) {
    return fmt::format("{}  {}", done, speed);
  }
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  std::string bar;
  if (bar_width > 0) {
    const auto width = static_cast<std::size_t>(bar_width);
    const auto filled = static_cast<std::size_t>(share * bar_width);
    std::string cells(width, ' ');
    std::fill_n(cells.begin(), filled, '=');
    if (filled < width) {
      cells[filled] = '>';
    }
    bar = fmt::format("[{}]  ", cells);
  }
  std::string text =
      fmt::format("{}{}/{}  {:3}%  {}", bar, done, total, static_cast<int>(share * 100), speed);
  if (done < total && rate > 0) {
    text += "  " + duration_text(static_cast<double>(total - done) / rate) + " left";
  }
  return text;
}

ProgressBar::ProgressBar(std::ostream& out, bool terminal, std::string label)
    : out_(out), terminal_(terminal), label_(std::move(label)) {}

void ProgressBar::update(std::size_t done, std::size_t total, Clock::time_point now) {
  if (!started_) {
    started_ = true;
    start_ = last_draw_ = now;
  }
  done_ = done;
  total_ = total;
  if (now - last_draw_ >= (terminal_ ? Clock::duration(kTerminalPeriod) : kPlainPeriod)) {
    draw(now);
  }
}

void ProgressBar::finish(Clock::time_point now) {
  if (!started_) {
    return;
  }
  if (!drawn_ || drawn_done_ != done_ || terminal_) {
    draw(now);
  }
  if (terminal_) {
    out_ << '\n' << std::flush;
  }
  started_ = false;
}

void ProgressBar::draw(Clock::time_point now) {
  last_draw_ = now;
  drawn_ = true;
  drawn_done_ = done_;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::string line =
      label_ + "  " + progress_text(done_, total_, seconds, terminal_ ? kBarWidth : 0);
  if (!terminal_) {
    out_ << line << '\n' << std::flush;
    return;
  }
  const std::size_t width = line.size();
  line.resize(std::max(width, drawn_width_), ' ');
  drawn_width_ = width;
  out_ << '\r' << line << std::flush;
}

}  // namespace vitrine::cli
