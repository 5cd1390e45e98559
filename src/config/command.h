#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/spec.h"

namespace supv {

/// What a command written as one string executes (contract 2.1, `start`):
/// * a string that needs no shell is split into its words, quotes handled as sh does;
/// * `X=1 prog` and `cd x && prog` become {"/bin/sh", "-c", …} with `exec` before the (last) simple
///   command, so that the process that supvd starts is the program itself;
/// * anything else goes to the shell as it is, which then is the main process (`own_shell`).
/// Empty with `error` set when the string is blank or a quote in it is never closed.
std::optional<Command> parse_command(std::string_view text, std::string& error);

}  // namespace supv
