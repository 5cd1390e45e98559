#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "brain/account.h"
#include "core/messages.h"
#include "core/protocol.h"
#include "scribe/scribe_channel.h"

namespace supv {

/// The FIFOs through which the output of runs reaches the scribe, and where the scribe carries it.
/// One pair for each watch: the next run goes on in the same FIFO, so no byte waits for a change.
class LogPipes {
 public:
  /// What the plan of a run opens.
  struct Pipes {
    std::string out;
    std::string err;  ///< Empty: the same as out.
  };

  /// `directory` holds the FIFOs and is made (0700) at first need; `log_dir` the default logs.
  LogPipes(std::string directory, std::string log_dir);

  /// Makes what is missing for a run of `watch` and tells the scribe. `account` is who runs.
  /// Throws std::system_error or StartRefused.
  Pipes open(const std::string& watch, const ProcessSpec& process, const Account& account);
  /// A brain begins: goes on with the FIFOs that earlier ones made for `watch`.
  void resume(const std::string& watch, const ProcessSpec& process);
  /// A scribe is there (again) and is told everything; null: it is gone.
  void attach(ScribeChannel* scribe);
  /// Ends the FIFOs of watches for which `wanted` says no.
  void keep_only(const std::function<bool(const std::string& watch)>& wanted);
  /// Names of watches that have FIFOs in the directory, known or not.
  std::vector<std::string> found() const;
  /// Where the output of a watch is.
  protocol::LogFiles files_of(const std::string& watch) const;
  /// The files that the output of runs of `watch` goes to, once or twice, seen from outside.
  std::vector<std::string> logs_of(const std::string& watch, const ProcessSpec& process) const;
  /// The watch whose FIFO the scribe calls `id`; empty: none.
  std::string watch_of(std::uint64_t id) const;
  /// The scribe had trouble with `id`: the next run's open() tells it once more.
  void tell_again(std::uint64_t id);
  bool empty() const { return targets_.empty(); }

 private:
  struct Target {
    std::uint64_t id = 0;
    RareText log;  ///< Empty: the default place (most logs; a thousand paths are not kept).
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    bool told = false;  ///< The scribe knows.
    bool operator==(const Target&) const = default;
  };
  void follow(const std::string& file, const std::string& log, const Account& account, bool make);
  struct stat fifo_at(const std::string& path, bool make) const;
  bool tell(const std::string& file, const Target& target);
  void drop(const std::string& file);
  std::string path_of(const std::string& file) const { return directory_ + "/" + file; }
  std::string default_log(std::string_view file) const;
  std::string log_of(const std::string& file, const Target& target) const;

  std::string directory_;
  std::string log_dir_;
  ScribeChannel* scribe_ = nullptr;
  std::map<std::string, Target> targets_;  ///< By FIFO: "NAME.out", "NAME.err".
};

}  // namespace supv
