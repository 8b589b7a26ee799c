#include "engine/experiment_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace vitrine::engine {
namespace {

constexpr double kWidth = 880;
constexpr double kHeight = 430;
constexpr double kLeft = 78;
constexpr double kRight = 24;
constexpr double kTop = 14;
constexpr double kBottom = 56;

/// Recall 1 has a place at this distance from itself, a little beyond 0.999.
constexpr double kLastMiss = 0.0005;
constexpr std::array kRecallTicks = {0.0,  0.3,  0.5,  0.7,   0.8,   0.9,
                                     0.95, 0.98, 0.99, 0.995, 0.999, 1.0};

double nines(double recall) { return -std::log10(1 + kLastMiss - std::clamp(recall, 0.0, 1.0)); }

/// A straight line from values to pixels.
struct Scale {
  double low, high;  // as transformed
  double first_px, last_px;

  double at(double transformed) const {
    return first_px + (transformed - low) / (high - low) * (last_px - first_px);
  }
};

std::string number(double value) {
  if (value >= 1000) return fmt::format("{:.0f}k", value / 1000);
  return fmt::format("{:g}", value);
}

/// 1, 2 and 5 times the powers of ten from below `low` to above `high`; both above 0.
std::vector<double> log_ticks(double low, double high) {
  std::vector<double> ticks;
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  for (int power = first; power <= last; ++power) {
    for (const double digit : {1.0, 2.0, 5.0}) ticks.push_back(digit * std::pow(10.0, power));
  }
  // One tick beyond the values on either side.
  while (ticks.size() > 1 && ticks[1] <= low) ticks.erase(ticks.begin());
  while (ticks.size() > 1 && ticks[ticks.size() - 2] >= high) ticks.pop_back();
  return ticks;
}

std::vector<double> recall_ticks(double lowest) {
  std::vector<double> ticks;
  for (std::size_t i = 0; i < kRecallTicks.size(); ++i) {
    const bool below_all = i + 1 < kRecallTicks.size() && kRecallTicks[i + 1] <= lowest;
    if (!below_all) ticks.push_back(kRecallTicks[i]);
  }
  // At least a decade, so that curves are not a thread at the right.
  while (ticks.front() > 0.9)
    ticks.insert(ticks.begin(), kRecallTicks[kRecallTicks.size() - ticks.size() - 1]);
  return ticks;
}

std::string axes(const Plot& plot, const Scale& x, const Scale& y,
                 const std::vector<double>& x_ticks, const std::vector<double>& y_ticks) {
  std::string svg;
  for (const double tick : x_ticks) {
    const double px = x.at(nines(tick));
    svg +=
        fmt::format(R"(<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>)"
                    R"(<text class="tick" x="{0:.1f}" y="{3}" text-anchor="middle">{4:g}</text>)",
                    px, kTop, kHeight - kBottom, kHeight - kBottom + 20, tick);
  }
  for (const double tick : y_ticks) {
    const double py = y.at(std::log10(tick));
    svg += fmt::format(R"(<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>)"
                       R"(<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>)",
                       kLeft, kWidth - kRight, py, kLeft - 10, py + 4, number(tick));
  }
  svg += fmt::format(R"(<text class="label" x="{:.1f}" y="{}" text-anchor="middle">recall</text>)",
                     (kLeft + kWidth - kRight) / 2, kHeight - 12);
  svg += fmt::format(
      R"svg(<text class="label" transform="translate(18 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>)svg",
      (kTop + kHeight - kBottom) / 2, escaped(plot.y_label));
  return svg;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string marker_svg(std::size_t series, double x, double y, std::string_view classes) {
  const auto polygon = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string points;
    for (const auto& [dx, dy] : corners) points += fmt::format("{:.1f},{:.1f} ", x + dx, y + dy);
    return fmt::format(R"(<polygon class="{}" points="{}")", classes, points);
  };
  switch (series % kSeriesStyles) {
    case 0:
      return polygon({{-4.5, -4.5}, {4.5, -4.5}, {4.5, 4.5}, {-4.5, 4.5}});
    case 1:
      return polygon({{0, -5.5}, {5.2, 4}, {-5.2, 4}});
    case 2:
      return fmt::format(R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4.6")", classes, x, y);
    case 3:
      return polygon({{0, -6}, {6, 0}, {0, 6}, {-6, 0}});
    case 4:
      return polygon({{-5.2, -4}, {5.2, -4}, {0, 5.5}});
    default:
      return polygon({{-5, -2}, {0, -6}, {5, -2}, {3, 4.5}, {-3, 4.5}});
  }
}

std::string to_svg(const Plot& plot) {
  double lowest_recall = 1;
  double low = 0;
  double high = 0;
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) {
      if (!(point.value > 0)) continue;
      lowest_recall = std::min(lowest_recall, point.recall);
      low = low == 0 ? point.value : std::min(low, point.value);
      high = std::max(high, point.value);
    }
  }
  if (low == 0) low = high = 1;
  const std::vector<double> x_ticks = recall_ticks(lowest_recall);
  const std::vector<double> y_ticks = log_ticks(low, high);
  const Scale x{nines(x_ticks.front()), nines(1), kLeft, kWidth - kRight - 12};
  const Scale y{std::log10(y_ticks.front()), std::log10(std::max(y_ticks.back(), 1.01 * low)),
                kHeight - kBottom, kTop};

  std::string svg = fmt::format(
      R"(<svg viewBox="0 0 {} {}" role="img" aria-labelledby="{}"><title id="{}">{}</title>)",
      kWidth, kHeight, plot.id, plot.id, escaped(plot.title));
  svg += axes(plot, x, y, x_ticks, y_ticks);
  for (std::size_t s = 0; s < plot.series.size(); ++s) {
    std::vector<const PlotPoint*> curve;
    for (const PlotPoint& point : plot.series[s].points) {
      if (point.on_curve && point.value > 0) curve.push_back(&point);
    }
    std::ranges::stable_sort(curve, {}, &PlotPoint::recall);
    std::string line;
    for (const PlotPoint* point : curve) {
      line +=
          fmt::format("{:.1f},{:.1f} ", x.at(nines(point->recall)), y.at(std::log10(point->value)));
    }
    const std::size_t style = s % kSeriesStyles;
    svg += fmt::format(R"(<polyline class="curve s{}" points="{}"/>)", style, line);
    for (const PlotPoint& point : plot.series[s].points) {
      if (!(point.value > 0)) continue;
      const double px = x.at(nines(point.recall));
      const double py = y.at(std::log10(point.value));
      if (point.emphasised) {
        svg += fmt::format(R"(<circle class="ring" cx="{:.1f}" cy="{:.1f}" r="11"/>)", px, py);
      }
      const std::string classes = fmt::format("point s{}{}", style, point.on_curve ? " best" : "");
      svg += marker_svg(s, px, py, classes) + "><title>" + escaped(point.title) + "</title></" +
             (style == 2 ? "circle>" : "polygon>");
    }
  }
  return svg + "</svg>";
}

}  // namespace vitrine::engine
