#pragma once

namespace supv {

/// The courier's whole life: serves the brains that speak on `channel_fd` (SOCK_SEQPACKET, taken
/// over) until its end of file. Returns the exit code. Needs libcurl.so.4 only at the first
/// request; without it every answer says so.
int run_courier(int channel_fd);

}  // namespace supv
