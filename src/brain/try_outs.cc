#include "brain/try_outs.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/perfdata.h"

namespace supv {

namespace {

constexpr std::chrono::seconds kBetweenLooks{1};

bool is_whole(const ConditionSpec& spec) {
  return spec.kind == ConditionKind::all || spec.kind == ConditionKind::any ||
         spec.kind == ConditionKind::none;
}

const char* text_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::yes:
      return "true";
    case Verdict::no:
      return "false";
    case Verdict::unknown:
      return "unknown";
  }
  return "unknown";
}

}  // namespace

void TryOuts::begin(const fx::TryOut& asked) {
  Trial& trial = trials_.emplace_back();
  trial.asked = asked;
  for (std::size_t w = 0; w < asked.subjects.size(); ++w) {
    const fx::TryOut::Subject& subject = asked.subjects[w];
    const auto number = static_cast<RunId>(kAskedApart | ++numbers_ << 16);
    std::vector<std::uint32_t> members;
    for (std::size_t c = 0; c < subject.conditions.size(); ++c) {
      const ConditionSpec& spec = subject.spec->conditions[subject.conditions[c]];
      ConditionReport& report = trial.asked.reply.report.watches[w].conditions[c];
      if (spec.kind == ConditionKind::exit) {
        report.verdict = "unknown";
        report.reason = "it is only told when the process ends by itself";
      } else if (spec.kind == ConditionKind::poll) {
        members.push_back(subject.conditions[c]);
        trial.questions.push_back({w, c, number, subject.conditions[c], {}, false});
      }
      // One of kind change stays as the core has judged it.
    }
    if (members.empty()) continue;
    trial.numbers.push_back(number);
    hosts_.arm({number, subject.spec->name, subject.spec, members, subject.run});
  }
  for (Question& question : trial.questions) ask(question);
}

void TryOuts::ask(Question& question) {
  question.asked = Time(std::chrono::steady_clock::now().time_since_epoch());
  question.open = true;
  hosts_.poll({question.number, question.index});
}

bool TryOuts::take(const ev::Judged& news) {
  if ((static_cast<std::uint64_t>(news.run) & kAskedApart) == 0) return false;
  for (Trial& trial : trials_) {
    for (Question& question : trial.questions) {
      if (question.number != news.run || question.index != news.condition || !question.open)
        continue;
      question.open = false;
      const Time now(std::chrono::steady_clock::now().time_since_epoch());
      ConditionReport& report = report_of(trial, question);
      report.verdict = text_of(news.verdict);
      report.reason = news.reason;
      report.metrics = parse_perfdata(news.metrics);
      report.took_ms = std::chrono::duration<double, std::milli>(now - question.asked).count();
      report.checked_wall_ms = now_().wall_ms;
    }
  }
  return true;
}

std::optional<Time> TryOuts::deadline() const {
  std::optional<Time> first;
  for (const Trial& trial : trials_) {
    const bool open = std::any_of(trial.questions.begin(), trial.questions.end(),
                                  [](const Question& question) { return question.open; });
    if (open) continue;
    const Time next = trial.again_at.value_or(Time{});
    if (!first || next < *first) first = next;
  }
  return first;
}

/// True when it is done.
bool TryOuts::go_on(Trial& trial) {
  const Time now = now_().time;
  if (std::any_of(trial.questions.begin(), trial.questions.end(),
                  [](const Question& question) { return question.open; }))
    return false;
  if (trial.again_at) {
    if (*trial.again_at > now) return false;
    trial.again_at.reset();
    for (Question& question : trial.questions)
      if (report_of(trial, question).verdict == "unknown") ask(question);
    return false;
  }
  const bool all_known = std::none_of(
      trial.questions.begin(), trial.questions.end(),
      [&](const Question& question) { return report_of(trial, question).verdict == "unknown"; });
  if (all_known || std::exchange(trial.second, true)) return true;
  trial.again_at = now + kBetweenLooks;
  return false;
}

/// An all, any or not is what its parts make of it, when all of them have been asked.
void TryOuts::combine(Trial& trial) const {
  for (std::size_t w = 0; w < trial.asked.subjects.size(); ++w) {
    const fx::TryOut::Subject& subject = trial.asked.subjects[w];
    auto& reports = trial.asked.reply.report.watches[w].conditions;
    // Parts stand behind their whole.
    for (std::size_t c = subject.conditions.size(); c-- > 0;) {
      const ConditionSpec& spec = subject.spec->conditions[subject.conditions[c]];
      if (!is_whole(spec)) continue;
      int yes = 0;
      int no = 0;
      int unknown = 0;
      for (std::size_t p = 0; p < subject.conditions.size(); ++p) {
        const ConditionSpec& part = subject.spec->conditions[subject.conditions[p]];
        if (part.parent != static_cast<int>(subject.conditions[c])) continue;
        const std::string& verdict = reports[p].verdict;
        ++(verdict == "true" ? yes : verdict == "false" ? no : unknown);
      }
      const bool all = spec.kind == ConditionKind::all;
      const bool negation = spec.kind == ConditionKind::none;
      const int deciding = all ? no : yes;
      const bool value = all ? deciding == 0 : deciding > 0;
      const bool open = unknown > 0 && deciding == 0;
      reports[c].verdict = open || yes + no + unknown == 0 ? "unknown"
                           : value != negation             ? "true"
                                                           : "false";
      reports[c].reason.clear();
    }
  }
}

void TryOuts::tick() {
  for (auto trial = trials_.begin(); trial != trials_.end();) {
    if (!go_on(*trial)) {
      ++trial;
      continue;
    }
    for (const RunId number : trial->numbers) hosts_.disarm({number});
    combine(*trial);
    reply_(trial->asked.reply);
    trial = trials_.erase(trial);
  }
}

}  // namespace supv
