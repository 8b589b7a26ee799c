#pragma once

#include <string>
#include <string_view>

namespace vitrine::bench {

/// What a line of the CSV holds. Times in seconds (_s) and milliseconds (_ms), memory in MiB (_mb).
inline constexpr std::string_view kGrowthColumns =
    "kind,products,records_s,index_s,finish_s,build_peak_mb,open_s,search_p50_ms,search_p99_ms,"
    "exact_p50_ms,exact_p99_ms,update_p50_ms,update_p99_ms,merge_s,merge_peak_mb,"
    "mapped_bytes_a_vector,own_bytes_a_product";

/// The lines, the header first, as an SVG that needs nothing else. Throws InvalidArgument for a CSV
/// of other columns.
std::string plot_growth(std::string_view csv);

}  // namespace vitrine::bench
