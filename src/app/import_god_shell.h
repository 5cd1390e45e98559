#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/units.h"

/// What god's users write into shell commands because god has no word for it.
namespace supv::import_god {

/// A start command without what supv has keys for.
struct CleanCommand {
  std::string command;                                   ///< Never empty unless the text was.
  std::string dir;                                       ///< `cd DIR && ...`
  std::vector<std::pair<std::string, std::string>> env;  ///< `NAME=VALUE ...`, `env NAME=VALUE ...`
  std::string uid;                                       ///< `sudo -u USER ...`
  std::string log;                                       ///< `>> FILE`; as written.
  std::string err_log;                                   ///< `2>> FILE`; as written.
  bool background = false;                               ///< `nohup ... &`
  /// Sidekiq's options -d, -P and -L, which version 6 only complains about, are gone from it.
  bool sidekiq = false;
};

/// Takes apart what can be taken apart safely; anything else is left as it is.
CleanCommand clean_start(std::string_view text);

/// A simple command with one blank between its words; any other as it is.
std::string tidy(std::string_view text);

/// One step of a stop that consists of signals: the signal, and the wait after it.
struct SignalStep {
  std::string signal;  ///< "TERM"
  Duration wait{0};    ///< 0: none was written.
};

/// "kill -QUIT `cat FILE`", "kill -TSTP $(cat FILE) && sleep 10 && kill -TERM $(cat FILE)": what is
/// sent and when. Empty for every other command.
std::vector<SignalStep> signal_steps(std::string_view text);

}  // namespace supv::import_god
