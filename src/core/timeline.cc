#include "core/timeline.h"

#include <fmt/format.h>

#include <algorithm>

namespace supv {
namespace {

/// The pointers whose leaves differ, at most three named.
std::string differing(const Leaves& before, const Leaves& after) {
  std::vector<std::string> names;
  auto a = before.begin();
  auto b = after.begin();
  while (a != before.end() || b != after.end()) {
    if (b == after.end() || (a != before.end() && a->first < b->first)) {
      names.push_back((a++)->first);
    } else if (a == before.end() || b->first < a->first) {
      names.push_back((b++)->first);
    } else {
      if (a->second != b->second) names.push_back(a->first);
      ++a;
      ++b;
    }
  }
  if (names.empty()) return "";
  const std::size_t shown = std::min<std::size_t>(names.size(), 3);
  std::string text;
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return " (" + text + ")";
}

std::string place(const Sample& sample) {
  return sample.kind == Sample::Kind::absent ? "absent" : fmt::format("{}", sample.index);
}

}  // namespace

void Timeline::begin(const Sample& baseline, bool assumed) {
  samples_.clear();
  if (baseline.kind != Sample::Kind::none) samples_.push_back(baseline);
  assumed_ = assumed;
}

bool Timeline::push(const Sample& sample) {
  if (samples_.empty()) {
    samples_.push_back(sample);
    assumed_ = true;
    return false;
  }
  if (samples_.back().same_as(sample)) {
    // A baseline that came from a record knows neither leaves nor, perhaps, its index.
    if (!samples_.back().leaves) samples_.back().leaves = sample.leaves;
    return false;
  }
  samples_.push_back(sample);
  if (samples_.size() > window_) samples_.erase(samples_.begin() + 1);
  return true;
}

bool Timeline::changed() const {
  return samples_.size() > 1 && !samples_.back().same_as(samples_.front());
}

std::string Timeline::describe_change() const {
  std::string where;
  if (baseline().leaves && newest().leaves) where = differing(*baseline().leaves, *newest().leaves);
  return fmt::format("index {} → {}{}", place(baseline()), place(newest()), where);
}

}  // namespace supv
