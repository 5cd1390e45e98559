#include "brain/plugin_studies.h"

#include <fmt/format.h>

#include <utility>

#include "base/units.h"

namespace supv {

FileAccess::Plugin PluginStudies::know(const std::string& path, const FileAccess::Options* tried) {
  using State = FileAccess::Plugin::State;
  Study& study = studies_[path];
  if (!study.known) {
    study.open = true;
    return {State::unknown, {}};
  }
  if (!study.facts.error.empty()) return {State::refused, study.facts.error};
  if (tried == nullptr) return {State::known, study.facts.declaration};
  const auto refusal = study.refusals.find(*tried);
  if (refusal != study.refusals.end()) return {State::known, refusal->second};
  study.asked.push_back(*tried);
  study.open = true;
  return {State::unknown, {}};
}

void PluginStudies::find_out(Time now, std::function<void()> done) {
  done_ = std::move(done);
  for (auto& [path, study] : studies_) {
    if (!std::exchange(study.open, false)) continue;
    ++awaited_;
    CommandRequest request;
    request.command.argv = describe_command(path, Confinement{});
    request.input = pack(study.asked);
    request.timeout = kDescriberPatience;
    commands_.run(now, std::move(request),
                  [this, &study = study](const CommandResult& result) { learned(study, result); });
  }
}

void PluginStudies::learned(Study& study, const CommandResult& result) {
  study.known = true;
  if (result.timed_out) {
    study.facts.error =
        fmt::format("it did not say within {} what it is", format_duration(kDescriberPatience));
  } else if (!result.error.empty()) {
    study.facts.error = result.error;
  } else if (result.status.how == ExitStatus::How::signal) {
    study.facts.error =
        fmt::format("it was killed by {} while it was looked at", signal_name(result.status.value));
  } else if (result.output.empty()) {
    study.facts.error =
        fmt::format("it ended the process that looked at it, with code {}", result.status.value);
  } else {
    study.facts = unpack_facts(result.output);
  }
  std::vector<PluginOptions> asked = std::exchange(study.asked, {});
  for (std::size_t i = 0; i < asked.size(); ++i) {
    study.refusals[std::move(asked[i])] =
        i < study.facts.refusals.size() ? study.facts.refusals[i] : "it was not tried";
  }
  if (--awaited_ == 0) std::exchange(done_, nullptr)();
}

}  // namespace supv
