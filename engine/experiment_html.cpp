// The page that an experiment's report is: everything it needs is in it.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/experiment_plot.h"
#include "engine/experiment_report.h"

namespace vitrine::engine {
namespace {

// The colours differ in lightness, too (after M. Okabe and K. Ito, "Color universal design").
constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--ink:#1c1d1f;--soft:#5f636a;--line:#e3e4e6;
--accent:#b4430f;--row:#f4f5f6;--c0:#6b7280;--c1:#c2570c;--c2:#0b63c4;--c3:#0f7f5c;--c4:#9b3fa0;
--c5:#8a6d00}
@media (prefers-color-scheme:dark){:root{--page:#141517;--card:#1c1e21;--ink:#e9eaec;--soft:#a2a7af;
--line:#33363b;--accent:#ff9d66;--row:#24272b;--c0:#b3b9c4;--c1:#ff9d5c;--c2:#6db3ff;--c3:#57d3a6;
--c4:#e09ae4;--c5:#e3c34f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:980px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;line-height:1.25;margin:0 0 4px}
h2{font-size:18px;margin:0 0 2px}
p{margin:4px 0}
.soft{color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;
margin-top:18px}
.choice{border-left:5px solid var(--accent)}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin:8px 0 2px;padding:0;list-style:none}
.legend svg{width:16px;height:16px;vertical-align:-3px;margin-right:5px}
svg{width:100%;height:auto;display:block}
.legend svg{display:inline-block}
.grid{stroke:var(--line)}
.tick{fill:var(--soft);font-size:13px}
.label{fill:var(--ink);font-size:14px}
.curve{fill:none;stroke-width:2.2}
.point{stroke-width:1.4;fill:var(--card);opacity:.55}
.point.best{opacity:1}
.ring{fill:none;stroke:var(--accent);stroke-width:2.5}
.s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}
.s4{stroke:var(--c4)}.s5{stroke:var(--c5)}
.best.s0{fill:var(--c0)}.best.s1{fill:var(--c1)}.best.s2{fill:var(--c2)}.best.s3{fill:var(--c3)}
.best.s4{fill:var(--c4)}.best.s5{fill:var(--c5)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600}
th:first-child,td:first-child,.left{text-align:left}
table.all{font-size:13px}
.all th,.all td{padding:4px 5px}
tr.best td{font-weight:600}
tr:not(.best) td.dim{color:var(--soft)}
tr.chosen td{background:var(--row)}
.bar{display:inline-block;height:11px;border-radius:3px;vertical-align:-1px;min-width:2px}
.b0{background:var(--c0)}.b1{background:var(--c1)}.b2{background:var(--c2)}.b3{background:var(--c3)}
.b4{background:var(--c4)}.b5{background:var(--c5)}
td.bars{width:26%;text-align:left}
)css";

/// "1234567.8" as "1,234,568".
std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", value);
  for (auto place = static_cast<std::ptrdiff_t>(digits.size()) - 3; place > 0; place -= 3) {
    digits.insert(static_cast<std::size_t>(place), 1, ',');
  }
  return digits;
}

std::string parameters_text(const Measurement& m) {
  std::string text;
  for (const auto& [name, value] : values_of(m.spec, m.search)) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, value);
  }
  return text.empty() ? "–" : text;
}

std::string build_text(const Measurement& m) {
  std::string text = m.spec.kind;
  for (const GridParameter* parameter : parameters_of(m.spec.kind)) {
    if (parameter->build == nullptr) continue;
    text += fmt::format(", {} {}", parameter->name, m.spec.*(parameter->build));
  }
  return text;
}

/// The report with what several parts of the page need.
class Page {
 public:
  Page(const ExperimentReport& report, const TuningChoice* choice)
      : report_(report), choice_(choice), curve_(on_pareto_curve(report.measurements)) {
    for (const Measurement& m : report.measurements) {
      if (std::ranges::find(kinds_, m.spec.kind) == kinds_.end()) kinds_.push_back(m.spec.kind);
    }
  }

  std::string print() const {
    std::string html = fmt::format(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
        "<title>{} of {}</title><style>{}</style></head><body><main>\n",
        choice_ == nullptr ? "Experiment" : "Tuning", escaped(report_.catalog), kStyle);
    html += head() + summary();
    html += plot("speed", "Recall and queries per second",
                 "Higher and to the right is better. One query after another on one thread.",
                 "queries/s", &Measurement::queries_per_second);
    html += plot("latency", "Recall and latency",
                 "Lower and to the right is better. 99 of 100 queries take at most so long.",
                 "p99, ms", &Measurement::p99_ms);
    html += builds() + table();
    return html + "</main></body></html>\n";
  }

 private:
  std::size_t series_of(const Measurement& m) const {
    return static_cast<std::size_t>(std::ranges::find(kinds_, m.spec.kind) - kinds_.begin());
  }
  bool is_chosen(std::size_t i) const { return choice_ != nullptr && choice_->nearest == i; }

  std::string head() const {
    std::string queries;
    for (const QueryGroup& group : report_.queries) {
      queries += fmt::format("{}{} {}", queries.empty() ? "" : " and ",
                             grouped(static_cast<double>(group.count)), escaped(group.name));
    }
    std::string html = fmt::format(
        "<header><h1>{}: approximate against exact search</h1>"
        "<p class=\"soft\">Generation {}, {} {} embeddings of {} dimensions. Queries: {}; "
        "recall@{} counts how many of the {} exact hits were found. {}, built on {} cores. {}, "
        "{:.0f} s.</p>"
        "</header>\n",
        escaped(report_.catalog), report_.generation, grouped(static_cast<double>(report_.vectors)),
        escaped(report_.target), report_.dimension, queries, report_.k, report_.k,
        escaped(report_.instruction_set), report_.cores, escaped(report_.created_at),
        report_.seconds);
    if (choice_ != nullptr) {
      html += fmt::format("<section class=\"choice\"><h2>{}</h2><p>{}</p></section>\n",
                          choice_->chosen ? "The choice" : "No choice", escaped(choice_->reason));
    }
    return html;
  }

  /// The fastest way to reach each of some recalls.
  std::string summary() const {
    std::string rows;
    for (const double recall : {0.9, 0.95, 0.99, 0.999}) {
      const Measurement* best = nullptr;
      for (const Measurement& m : report_.measurements) {
        if (m.recall < recall) continue;
        if (best == nullptr || m.queries_per_second > best->queries_per_second) best = &m;
      }
      if (best == nullptr) {
        rows += fmt::format(
            "<tr><td>{:g}</td><td class=\"left\" colspan=\"5\">not reached</td></tr>", recall);
        continue;
      }
      rows += fmt::format(
          "<tr><td>{:g}</td><td class=\"left\">{}</td><td class=\"left\">{}</td><td>{}</td>"
          "<td>{:.3f}</td><td>{}</td></tr>",
          recall, escaped(best->spec.kind), parameters_text(*best),
          grouped(best->queries_per_second), best->p99_ms, grouped(best->bytes_per_vector));
    }
    return "<section><h2>The fastest way to a recall</h2><div class=\"scroll\"><table><thead><tr>"
           "<th>recall, at least</th><th class=\"left\">kind</th><th class=\"left\">parameters</th>"
           "<th>queries/s</th><th>p99, ms</th><th>bytes a vector</th></tr></thead><tbody>" +
           rows + "</tbody></table></div></section>\n";
  }

  std::string legend() const {
    std::string items;
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
      const std::size_t style = i % kSeriesStyles;
      items += fmt::format(R"(<li><svg viewBox="-8 -8 16 16" aria-hidden="true">{}/></svg>{}</li>)",
                           marker_svg(i, 0, 0, fmt::format("point best s{}", style)),
                           escaped(kinds_[i]));
    }
    return "<ul class=\"legend\">" + items +
           "<li class=\"soft\">filled: on the kind's Pareto curve</li></ul>";
  }

  std::string plot(const char* id, const char* title, const char* how, const char* y_label,
                   double Measurement::*value) const {
    Plot plot{id, title, y_label, {}};
    for (const std::string& kind : kinds_) plot.series.push_back({kind, {}});
    for (std::size_t i = 0; i < report_.measurements.size(); ++i) {
      const Measurement& m = report_.measurements[i];
      plot.series[series_of(m)].points.push_back(
          {m.recall, m.*value, curve_[i], is_chosen(i),
           fmt::format("{}\nrecall {:.4f}\n{} queries/s\np50 {:.3f}, p95 {:.3f}, p99 {:.3f} ms",
                       describe(m.spec, m.search), m.recall, grouped(m.queries_per_second),
                       m.p50_ms, m.p95_ms, m.p99_ms)});
    }
    return fmt::format("<section><h2>{}</h2><p class=\"soft\">{}</p>{}{}</section>\n", title, how,
                       legend(), to_svg(plot));
  }

  /// Memory and time of each index that was built.
  std::string builds() const {
    std::vector<const Measurement*> builds;
    double most_bytes = 0;
    double most_seconds = 0;
    for (const Measurement& m : report_.measurements) {
      most_bytes = std::max(most_bytes, m.bytes_per_vector);
      most_seconds = std::max(most_seconds, m.build_seconds);
      if (builds.empty() || build_text(*builds.back()) != build_text(m)) builds.push_back(&m);
    }
    const auto bar = [](double value, double most, std::size_t style) {
      return fmt::format(R"(<span class="bar b{}" style="width:{:.1f}%"></span>)",
                         style % kSeriesStyles, most > 0 ? 100 * value / most : 0);
    };
    std::string rows;
    for (const Measurement* m : builds) {
      const std::size_t style = series_of(*m);
      rows += fmt::format(
          "<tr><td>{}</td><td>{}</td><td class=\"bars\">{}</td><td>{:.2f}</td>"
          "<td class=\"bars\">{}</td></tr>",
          escaped(build_text(*m)), grouped(m->bytes_per_vector),
          bar(m->bytes_per_vector, most_bytes, style), m->build_seconds,
          bar(m->build_seconds, most_seconds, style));
    }
    return "<section><h2>Memory and time to build</h2><p class=\"soft\">Bytes are those of the "
           "index's file, which is mapped into memory.</p><div class=\"scroll\"><table><thead><tr>"
           "<th>index</th><th>bytes a vector</th><th></th><th>build, s</th><th></th></tr></thead>"
           "<tbody>" +
           rows + "</tbody></table></div></section>\n";
  }

  std::string table() const {
    std::string header = "<th>kind</th><th class=\"left\">parameters</th><th>recall</th>";
    const bool grouped_queries = report_.queries.size() > 1;
    if (grouped_queries) {
      for (const QueryGroup& group : report_.queries) {
        header += fmt::format("<th>of {}</th>", escaped(group.name));
      }
    }
    header += "<th>queries/s</th><th>p50, ms</th><th>p95</th><th>p99</th>";
    std::string rows;
    for (std::size_t i = 0; i < report_.measurements.size(); ++i) {
      const Measurement& m = report_.measurements[i];
      std::string recalls = fmt::format("<td>{:.4f}</td>", m.recall);
      if (grouped_queries) {
        for (const double recall : m.group_recalls) {
          recalls += fmt::format("<td class=\"dim\">{:.4f}</td>", recall);
        }
      }
      rows += fmt::format(
          "<tr class=\"{}{}\"><td>{}</td><td class=\"left\">{}</td>{}<td>{}</td><td>{:.3f}</td>"
          "<td>{:.3f}</td><td>{:.3f}</td></tr>\n",
          curve_[i] ? "best" : "", is_chosen(i) ? " chosen" : "", escaped(m.spec.kind),
          parameters_text(m), recalls, grouped(m.queries_per_second), m.p50_ms, m.p95_ms, m.p99_ms);
    }
    return "<section><h2>All measurements</h2><p class=\"soft\">Bold: on the kind's Pareto "
           "curve.</p><div class=\"scroll\"><table class=\"all\"><thead><tr>" +
           header + "</tr></thead><tbody>\n" + rows + "</tbody></table></div></section>\n";
  }

  const ExperimentReport& report_;
  const TuningChoice* const choice_;
  const std::vector<bool> curve_;
  std::vector<std::string> kinds_;  // in the order of the measurements
};

}  // namespace

std::string to_html(const ExperimentReport& report, const TuningChoice* choice) {
  return Page(report, choice).print();
}

}  // namespace vitrine::engine
