#include "core/roster.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace supv {

Watch& Roster::add(std::shared_ptr<const WatchSpec> spec, std::uint64_t salt) {
  const auto number = static_cast<std::uint32_t>(watches_.size());
  by_name_[spec->name] = number;
  watches_.push_back(std::make_unique<Watch>(number, std::move(spec), salt));
  deadline_of_.emplace_back();
  return *watches_.back();
}

void Roster::erase(std::uint32_t number) {
  if (deadline_of_[number]) deadlines_.erase({*deadline_of_[number], number});
  deadline_of_[number].reset();
  by_name_.erase(watches_[number]->spec().name);
  watches_[number].reset();
}

Watch* Roster::at(std::uint32_t number) {
  return number < watches_.size() ? watches_[number].get() : nullptr;
}

const Watch* Roster::at(std::uint32_t number) const {
  return number < watches_.size() ? watches_[number].get() : nullptr;
}

Watch* Roster::find(const std::string& name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : at(found->second);
}

std::vector<std::uint32_t> Roster::all() const {
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t i = 0; i < watches_.size(); ++i)
    if (watches_[i]) numbers.push_back(i);
  return numbers;
}

bool Roster::matches(const Watch& watch, const std::string& word) const {
  const WatchSpec& spec = watch.spec();
  if (word.starts_with('@')) {
    const std::size_t equal = word.find('=');
    if (!spec.rare || equal == std::string::npos) return false;
    const std::pair<std::string, std::string> label{word.substr(1, equal - 1),
                                                    word.substr(equal + 1)};
    return std::find(spec.rare->labels.begin(), spec.rare->labels.end(), label) !=
           spec.rare->labels.end();
  }
  if (spec.name == word || glob_match(word, spec.name)) return true;
  return std::find(spec.groups.begin(), spec.groups.end(), word) != spec.groups.end();
}

std::vector<std::uint32_t> Roster::select(const Request& request, std::string& unknown) const {
  std::set<std::uint32_t> chosen;
  const std::vector<std::uint32_t> numbers = all();
  if (request.all) chosen.insert(numbers.begin(), numbers.end());
  const auto choose = [&](const std::string& word, auto&& wanted) {
    bool any = false;
    for (const std::uint32_t number : numbers) {
      if (!wanted(*at(number))) continue;
      chosen.insert(number);
      any = true;
    }
    if (any || !unknown.empty()) return;
    std::vector<std::string_view> names;
    for (const auto& [name, number] : by_name_) names.push_back(name);
    for (const std::uint32_t number : numbers)
      for (const std::string& group : at(number)->spec().groups) names.push_back(group);
    const std::string_view near = nearest_word(word, names);
    unknown = near.empty() ? fmt::format("no such watch: {}", word)
                           : fmt::format("no such watch: {} (did you mean {}?)", word, near);
  };
  for (const std::string& word : request.select)
    choose(word, [&](const Watch& watch) { return matches(watch, word); });
  for (const std::string& file : request.files)
    choose(file, [&](const Watch& watch) { return watch.spec().file == file; });
  return {chosen.begin(), chosen.end()};
}

void Roster::schedule(std::uint32_t number) {
  const std::optional<Time> next = watches_[number]->deadline();
  std::optional<Time>& noted = deadline_of_[number];
  if (next == noted) return;
  if (noted) deadlines_.erase({*noted, number});
  if (next) deadlines_.insert({*next, number});
  noted = next;
}

std::optional<Time> Roster::first_deadline() const {
  return deadlines_.empty() ? std::nullopt : std::optional(deadlines_.begin()->first);
}

std::vector<std::uint32_t> Roster::due(Time now, std::size_t most) const {
  std::vector<std::uint32_t> numbers;
  for (const auto& [time, number] : deadlines_) {
    if (time > now || numbers.size() == most) break;
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace supv
