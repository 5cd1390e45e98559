#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "brain/commands.h"
#include "config/load.h"
#include "plugin/ask.h"

namespace supv {

/// What one load finds out about plugins without waiting for them: a process of each says what it
/// is and tries the options. The load is done again when they have answered.
class PluginStudies {
 public:
  explicit PluginStudies(Commands& commands) : commands_(commands) {}

  /// For FileAccess::plugin. What is not known is a question from now on.
  FileAccess::Plugin know(const std::string& path, const FileAccess::Options* tried);
  /// Puts the questions; `done` is called when all are answered, once, from Commands::tick.
  void find_out(Time now, std::function<void()> done);

 private:
  struct Study {
    bool known = false;
    PluginFacts facts;
    std::vector<PluginOptions> asked;               ///< Still to be tried.
    std::map<PluginOptions, std::string> refusals;  ///< What was tried: why not, or nothing.
    bool open = false;                              ///< There is a question.
  };
  void learned(Study& study, const CommandResult& result);

  Commands& commands_;
  std::map<std::string, Study> studies_;  ///< By path.
  std::size_t awaited_ = 0;
  std::function<void()> done_;
};

}  // namespace supv
