#pragma once

#include <string>
#include <string_view>
#include <vector>

/// Scatter plots with curves, as SVG that takes its colours from the page's CSS
/// (experiment_html.cpp).
namespace vitrine::engine {

/// Text as HTML and SVG show it.
std::string escaped(std::string_view text);

struct PlotPoint {
  double recall = 0;        ///< [0, 1]
  double value = 0;         ///< above 0
  bool on_curve = false;    ///< joined with the series' others in order of recall
  bool emphasised = false;  ///< drawn with a ring
  std::string title;        ///< shown where the pointer rests on it
};

/// Points of one colour and shape.
struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;
};

struct Plot {
  std::string id;  ///< of the SVG's title, distinct in the page
  std::string title;
  std::string y_label;  ///< of a logarithmic axis
  std::vector<PlotSeries> series;
};

/// Colours and shapes that a series can have; the next one has the first one's again.
inline constexpr std::size_t kSeriesStyles = 6;

/// The shape that the points of a series have, as an SVG element at a place, of some 5 pixels.
std::string marker_svg(std::size_t series, double x, double y, std::string_view classes);

/// Recall is drawn from left to right so that each of 0.9, 0.99 and 0.999 has as much room as the
/// one before: what is interesting lies close to 1. Without points: a frame.
std::string to_svg(const Plot& plot);

}  // namespace vitrine::engine
