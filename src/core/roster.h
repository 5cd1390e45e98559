#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/watch.h"

namespace supv {

/// All watches: by number, by name, by the words of a selector, and by their next deadline.
class Roster {
 public:
  /// A new watch under the next number.
  Watch& add(std::shared_ptr<const WatchSpec> spec, std::uint64_t salt);
  void erase(std::uint32_t number);

  Watch* at(std::uint32_t number);
  const Watch* at(std::uint32_t number) const;
  Watch* find(const std::string& name);
  /// Every number in use, in order of definition.
  std::vector<std::uint32_t> all() const;
  std::size_t size() const { return by_name_.size(); }

  /// What a request selects: names, groups, globs, @label=value, files, --all. `unknown` gets the
  /// first word that selects nothing, with the nearest name if there is one.
  std::vector<std::uint32_t> select(const Request& request, std::string& unknown) const;

  /// Notes the watch's deadline again.
  void schedule(std::uint32_t number);
  std::optional<Time> first_deadline() const;
  /// Those whose deadline has come, earliest first; `most` of them at most.
  std::vector<std::uint32_t> due(Time now, std::size_t most = SIZE_MAX) const;

 private:
  bool matches(const Watch& watch, const std::string& word) const;

  std::vector<std::unique_ptr<Watch>> watches_;
  std::map<std::string, std::uint32_t> by_name_;
  std::set<std::pair<Time, std::uint32_t>> deadlines_;
  std::vector<std::optional<Time>> deadline_of_;
};

}  // namespace supv
