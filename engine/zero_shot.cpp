#include "engine/zero_shot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "base/text.h"

namespace vitrine::engine {
namespace {

void check_utf8(std::string_view text, std::string_view what) {
  if (const auto offset = find_invalid_utf8(text)) {
    throw invalid_argument(fmt::format("the {} \"{}\" is not UTF-8: byte {} is malformed", what,
                                       printable(text), *offset));
  }
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

}  // namespace

PromptTemplate::PromptTemplate(std::string_view text) {
  check_utf8(text, "prompt template");
  constexpr std::string_view kShort = "{}";
  constexpr std::string_view kLong = "{label}";
  const std::size_t gaps = count_of(text, kShort) + count_of(text, kLong);
  if (gaps != 1) {
    throw invalid_argument(fmt::format(
        "the prompt template \"{}\" has {} gaps for the label; write exactly one {{}} or {{label}}",
        printable(text), gaps));
  }
  const std::string_view gap = text.find(kShort) != std::string_view::npos ? kShort : kLong;
  const std::size_t at = text.find(gap);
  before_ = text.substr(0, at);
  after_ = text.substr(at + gap.size());
}

std::string PromptTemplate::apply(std::string_view label) const {
  return fmt::format("{}{}{}", before_, label, after_);
}

void validate_labels(std::span<const std::string> labels) {
  if (labels.empty() || labels.size() > kMaxLabels) {
    throw invalid_argument(
        fmt::format("{} labels were given; give 1 to {}", labels.size(), kMaxLabels));
  }
  std::unordered_set<std::string_view> seen;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::string& label = labels[i];
    if (label.find_first_not_of(" \t\r\n") == std::string::npos) {
      throw invalid_argument(fmt::format("label {} is empty; every label needs a text", i + 1));
    }
    check_utf8(label, "label");
    if (!seen.insert(label).second) {
      throw invalid_argument(
          fmt::format("the label \"{}\" was given twice; labels must differ", printable(label)));
    }
  }
}

std::vector<float> softmax(std::span<const float> logits) {
  std::vector<float> result(logits.size());
  if (logits.empty()) return result;
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    result[i] = static_cast<float>(std::exp(static_cast<double>(logits[i]) - largest) / sum);
  }
  return result;
}

std::vector<float> sigmoid(std::span<const float> logits) {
  std::vector<float> result(logits.size());
  std::ranges::transform(logits, result.begin(), [](float logit) {
    return static_cast<float>(1 / (1 + std::exp(-static_cast<double>(logit))));
  });
  return result;
}

}  // namespace vitrine::engine
