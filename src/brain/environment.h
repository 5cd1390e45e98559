#pragma once

#include <map>
#include <string>

#include "brain/start_refused.h"

namespace supv {

/// Environment variables by name.
using Environment = std::map<std::string, std::string>;

/// An environment as the C library holds it. A name that appears twice keeps its first value.
Environment read_environment(const char* const* block);

/// What a run inherits from `own`: all of it minus what is meant for supvd alone
/// (CONSUL_HTTP_TOKEN*, NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*, SUPV_*) and minus what a surrounding
/// `bundle exec` left behind, which is put back to what it was before.
Environment inherited_environment(const Environment& own);

/// `clean_env`: PATH, HOME, USER, LOGNAME, SHELL and LANG of `own`, as far as they are set; PATH
/// always is.
Environment clean_environment(const Environment& own);

/// Adds the assignments of an env file: KEY=VALUE lines, `export` before them, comments, blank
/// lines, '...' (taken literally) and "..." (backslash escapes n t r " \ $ and `). Nothing is
/// expanded or executed. Throws StartRefused naming file and line.
void read_env_file(const std::string& path, Environment& into);

/// The same for a text that is already there; `path` is only named in errors.
void parse_env_text(const std::string& path, const std::string& text, Environment& into);

}  // namespace supv
