#pragma once

#include <supv/condition.h>

#include <vector>

namespace supv {

/// The life of the host: makes and calls conditions that may wait, each call on a thread, until
/// the brain's side of the SEQPACKET channel `channel_fd` is closed. It then ends without caring
/// for threads that hang. `catalog` is what can be made. Returns an exit code.
int run_host(int channel_fd, const std::vector<const supv_condition_descriptor*>& catalog);

}  // namespace supv
