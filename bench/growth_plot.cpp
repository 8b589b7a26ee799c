#include "bench/growth_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <sstream>
#include <vector>

#include "base/error.h"

namespace vitrine::bench {
namespace {

constexpr double kWidth = 300;
constexpr double kHeight = 200;
constexpr double kMargin = 60;
constexpr int kPanelsARow = 3;

struct Panel {
  const char* title;
  std::vector<std::string> columns;  // the first with a solid line, further ones dashed
};

const std::vector<Panel>& panels() {
  static const std::vector<Panel> kPanels = {
      {"building both indices, s", {"index_s"}},
      {"opening, page cache warm, s", {"open_s"}},
      {"a search, ms: p50, dashed p99", {"search_p50_ms", "search_p99_ms"}},
      {"an update, ms: p50, dashed p99", {"update_p50_ms", "update_p99_ms"}},
      {"merging, s", {"merge_s"}},
      {"bytes a vector, mapped", {"mapped_bytes_a_vector"}},
  };
  return kPanels;
}

struct Point {
  double products = 0;
  std::map<std::string, double> values;
};

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream stream(line);
  for (std::string field; std::getline(stream, field, ',');) fields.push_back(field);
  return fields;
}

/// By kind.
std::map<std::string, std::vector<Point>> read(std::string_view csv) {
  std::istringstream lines{std::string(csv)};
  std::string line;
  if (!std::getline(lines, line) || line != kGrowthColumns) {
    throw invalid_argument("the CSV's first line is not that of `growth header`");
  }
  const std::vector<std::string> columns = split(line);
  std::map<std::string, std::vector<Point>> series;
  while (std::getline(lines, line)) {
    const std::vector<std::string> fields = split(line);
    if (fields.size() != columns.size()) throw invalid_argument("a line is cut: " + line);
    Point point;
    for (std::size_t i = 1; i < fields.size(); ++i) {
      point.values[columns[i]] = std::stod(fields[i]);
    }
    point.products = point.values["products"];
    series[fields[0]].push_back(point);
  }
  for (auto& [kind, points] : series) std::ranges::sort(points, {}, &Point::products);
  return series;
}

/// A logarithmic scale over whole powers of ten.
class Scale {
 public:
  Scale(double least, double most, double from, double to)
      : first_(std::floor(std::log10(least) + 1e-9)),
        last_(std::max(first_ + 1, std::ceil(std::log10(most) - 1e-9))),
        from_(from),
        to_(to) {}

  double at(double value) const {
    return from_ + (to_ - from_) * (std::log10(value) - first_) / (last_ - first_);
  }
  template <class Visit>
  void for_each_power(const Visit& visit) const {
    for (double power = first_; power <= last_; ++power) visit(std::pow(10, power));
  }

 private:
  double first_, last_, from_, to_;
};

std::string number(double value) {
  if (value >= 1e6) return fmt::format("{:g} M", value / 1e6);
  if (value >= 1e3) return fmt::format("{:g} k", value / 1e3);
  return fmt::format("{:g}", value);
}

}  // namespace

std::string plot_growth(std::string_view csv) {
  static constexpr std::array<const char*, 4> kColours = {"#1b6ca8", "#c2571a", "#3a7d44",
                                                          "#7a4b9a"};
  const auto series = read(csv);
  const auto rows = (panels().size() + kPanelsARow - 1) / kPanelsARow;
  const double width = kPanelsARow * (kWidth + kMargin) + kMargin;
  const double height = static_cast<double>(rows) * (kHeight + kMargin) + kMargin;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"11\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      width, height);
  std::size_t legend = 0;
  for (const auto& [kind, points] : series) {
    svg += fmt::format("<text x=\"{}\" y=\"20\" fill=\"{}\" font-weight=\"bold\">{}</text>\n",
                       kMargin + 60 * static_cast<double>(legend), kColours[legend % 4], kind);
    ++legend;
  }
  for (std::size_t i = 0; i < panels().size(); ++i) {
    const Panel& panel = panels()[i];
    const double left = kMargin + static_cast<double>(i % kPanelsARow) * (kWidth + kMargin);
    const double top = kMargin + static_cast<double>(i / kPanelsARow) * (kHeight + kMargin);
    double least_x = std::numeric_limits<double>::max();
    double least_y = least_x;
    double most_x = 0;
    double most_y = 0;
    for (const auto& [kind, points] : series) {
      for (const Point& point : points) {
        least_x = std::min(least_x, point.products);
        most_x = std::max(most_x, point.products);
        for (const std::string& column : panel.columns) {
          const double value = point.values.at(column);
          if (value > 0) least_y = std::min(least_y, value);
          most_y = std::max(most_y, value);
        }
      }
    }
    if (most_y <= 0) continue;
    const Scale x(least_x, most_x, left, left + kWidth);
    const Scale y(least_y, most_y, top + kHeight, top);
    svg += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", left, top - 8, panel.title);
    x.for_each_power([&](double power) {
      svg += fmt::format(
          "<path d=\"M{0} {1}V{2}\" stroke=\"#ddd\"/><text x=\"{0}\" y=\"{3}\" "
          "text-anchor=\"middle\">{4}</text>\n",
          x.at(power), top, top + kHeight, top + kHeight + 14, number(power));
    });
    y.for_each_power([&](double power) {
      svg += fmt::format(
          "<path d=\"M{0} {1}H{2}\" stroke=\"#ddd\"/><text x=\"{3}\" y=\"{4}\" "
          "text-anchor=\"end\">{5}</text>\n",
          left, y.at(power), left + kWidth, left - 4, y.at(power) + 4, number(power));
    });
    std::size_t colour = 0;
    for (const auto& [kind, points] : series) {
      const char* stroke = kColours[colour++ % kColours.size()];
      for (std::size_t column = 0; column < panel.columns.size(); ++column) {
        std::string path;
        for (const Point& point : points) {
          const double value = point.values.at(panel.columns[column]);
          if (value <= 0) continue;
          const double at_x = x.at(point.products);
          const double at_y = y.at(value);
          path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", at_x, at_y);
          svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" fill=\"{}\"/>\n", at_x,
                             at_y, stroke);
        }
        svg += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"{}/>\n",
                           path, stroke, column > 0 ? " stroke-dasharray=\"4 3\"" : "");
      }
    }
  }
  return svg + "</svg>\n";
}

}  // namespace vitrine::bench
