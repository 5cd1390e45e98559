#pragma once

#include <cstdint>
#include <string>

namespace supv {

/// How the trial KV of `supvd --dev` runs.
struct DevKvOptions {
  std::string directory;      ///< Where the content is kept (dev-kv.txt), the runtime directory.
  std::uint16_t port = 8500;  ///< This one or the next that is free; the last one used comes first.
  int report_fd = -1;         ///< Gets "PORT\n" once the port is open, then is closed.
};

/// A Consul-compatible KV (with blocking queries) on 127.0.0.1; ends by a signal. Returns an exit
/// code when it cannot serve, after one line on standard error: libmicrohttpd.so.12 is missing, no
/// port is free, or the content cannot be read.
int run_dev_kv(const DevKvOptions& options);

}  // namespace supv
