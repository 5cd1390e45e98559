#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "core/messages.h"

namespace supv {

/// Small files of the kernel as conditions read them: each once per instant, however many ask.
class InstantFiles {
 public:
  /// A file's text (at most 64 KiB), or why there is none.
  struct Read {
    std::string text;
    int error = 0;  ///< errno; 0: it was read.
  };
  /// What `path` says at `now`. Only files below /proc and /sys, which never wait, are read;
  /// others are EACCES. Lives until the next call.
  const Read& read(Time now, const std::string& path);

 private:
  std::optional<Time> now_;
  std::map<std::string, Read> files_;  // Read at now_.
};

}  // namespace supv
