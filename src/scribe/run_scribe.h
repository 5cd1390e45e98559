#pragma once

namespace supv {

/// The scribe role: carries the output of runs from their FIFOs to log files, told what to do over
/// the SEQPACKET descriptor `channel_fd` (scribe/wire.h), which it takes over. When the other side
/// of the channel is gone it stays until every FIFO's writers have ended. TERM: writes what is
/// there and ends. May be killed at any time: unread bytes stay in the FIFOs. Returns an exit code.
int run_scribe(int channel_fd);

}  // namespace supv
