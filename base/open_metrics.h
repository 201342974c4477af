// From the text format of Prometheus to that of OpenMetrics 1.0, which says the same with the names
// of families of counters without "_total", and an end.
//
// Threads: a pure function.
#pragma once

#include <string>
#include <string_view>

namespace signet {

inline constexpr std::string_view kOpenMetricsType =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";
inline constexpr std::string_view kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";

// `text`: families as Metrics::Text() writes them; those that are OpenMetrics already pass as they
// are.
std::string ToOpenMetrics(std::string_view text);

// Whether an Accept field (RFC 9110, 12.5.1) asks for OpenMetrics. Its order of preference is not
// weighed: who names it can read it.
bool AcceptsOpenMetrics(std::string_view accept);

}  // namespace signet
