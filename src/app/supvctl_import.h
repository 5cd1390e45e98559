#pragma once

#include "app/supvctl_invocation.h"

namespace supv::ctl {

/// `import god FILE... [-o OUT]`: another supervisor's configuration as a watch file; the report on
/// standard error. 0 when everything was read and the result passes the check.
int run_import(const Invocation& invocation);

}  // namespace supv::ctl
