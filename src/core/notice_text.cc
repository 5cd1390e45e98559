#include "core/notice_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/units.h"

namespace supv {
namespace {

constexpr std::size_t kNamesShown = 5;

/// What all notices say, or nothing.
template <typename Value>
std::string common(const std::vector<Notice>& notices, Value value) {
  const std::string first = value(notices.front());
  const bool same = std::all_of(notices.begin(), notices.end(),
                                [&](const Notice& one) { return value(one) == first; });
  return same ? first : "";
}

std::string watches_of(const std::vector<Notice>& notices) {
  std::vector<std::string_view> names;
  for (const Notice& one : notices) {
    if (std::find(names.begin(), names.end(), one.watch) == names.end()) names.push_back(one.watch);
  }
  const std::size_t more = names.size() > kNamesShown ? names.size() - kNamesShown : 0;
  names.resize(names.size() - more);
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  return more == 0 ? text : fmt::format("{} and {} more", text, more);
}

std::string digest_of(const std::vector<Notice>& notices) {
  std::string text = fmt::format("{} notices:", notices.size());
  for (const Notice& one : notices) {
    text += fmt::format("\n{} {}", format_time(one.wall_ms), one_line(one));
  }
  return text;
}

}  // namespace

std::string_view kind_name(Notice::Kind kind) {
  switch (kind) {
    case Notice::Kind::fired:
      return "fired";
    case Notice::Kind::recovered:
      return "recovered";
    case Notice::Kind::state:
      return "state";
    case Notice::Kind::flapping:
      return "flapping";
  }
  return "";
}

std::string one_line(const Notice& notice) {
  const std::string& watch = notice.watch;
  const bool named = notice.text.starts_with(watch) && notice.text.size() > watch.size() &&
                     (notice.text[watch.size()] == ' ' || notice.text[watch.size()] == ':');
  return printable(named || watch.empty() ? notice.text : watch + ": " + notice.text);
}

std::string condition_of(const Notice& notice) {
  const bool of_condition =
      notice.kind == Notice::Kind::fired || notice.kind == Notice::Kind::recovered;
  return of_condition ? notice.source : "";
}

NoticeText::NoticeText(const std::vector<Notice>& notices, std::string_view host) {
  const bool digest = notices.size() > 1;
  const auto text_of = [&](auto value) { return printable(common(notices, value)); };
  const std::string kind(digest ? "digest" : kind_name(notices.front().kind));
  values_ = {
      printable(watches_of(notices)),
      digest ? digest_of(notices) : one_line(notices.front()),
      text_of([](const Notice& one) { return one.state; }),
      text_of([](const Notice& one) { return one.action; }),
      text_of([](const Notice& one) { return condition_of(one); }),
      text_of([](const Notice& one) { return one.to.priority.text(); }),
      text_of([](const Notice& one) { return one.to.category.text(); }),
      printable(host),
      format_time(notices.back().wall_ms),
      kind,
      std::to_string(notices.size()),
  };
  subject_ = digest ? fmt::format("{} notices of {}", notices.size(), value("watch"))
                    : std::string(value("message"));
}

std::string_view NoticeText::value(std::string_view name) const {
  const auto& names = placeholder_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return {};
  return values_[static_cast<std::size_t>(found - names.begin())];
}

std::string NoticeText::fill(std::string_view pattern, const Escape& escape) const {
  std::string text;
  while (!pattern.empty()) {
    const PatternPiece piece = next_piece(pattern);
    text += piece.placeholder ? escape(value(piece.text)) : std::string(piece.text);
  }
  return text;
}

}  // namespace supv
