#pragma once

#include "app/supvctl_invocation.h"

namespace supv::ctl {

/// `check FILE...`: diagnostics on standard error (or JSON on standard output); 0 or 6.
int check_files(const Invocation& invocation);
/// `conditions [NAME]`: the reference made from the declarations.
int print_conditions(const Invocation& invocation);
/// `schema`: the JSON Schema of watch files.
int print_schema();

}  // namespace supv::ctl
