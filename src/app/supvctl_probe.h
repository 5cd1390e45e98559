#pragma once

#include "app/supvctl_invocation.h"

namespace supv::ctl {

/// probe SEL [CONDITION]: asks the conditions of watches now, apart from how they are judged.
/// probe FILE WATCH [CONDITION]: the same with a watch file and without a supvd that runs it; a
/// supvd of its own is started for it, in which nothing but the question happens. 0: all could be
/// found out; 1: something is unknown.
int run_probe(const Invocation& invocation);

}  // namespace supv::ctl
