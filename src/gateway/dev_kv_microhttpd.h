#pragma once

#include <microhttpd.h>

#include <optional>
#include <string>

namespace supv {

/// The functions of libmicrohttpd that are used, found at run time: only who runs a trial KV
/// needs the library. Never unloaded.
struct MicroHttpd {
  decltype(&::MHD_start_daemon) start_daemon = nullptr;
  decltype(&::MHD_stop_daemon) stop_daemon = nullptr;
  decltype(&::MHD_get_daemon_info) get_daemon_info = nullptr;
  decltype(&::MHD_get_timeout) get_timeout = nullptr;
  decltype(&::MHD_run) run = nullptr;
  decltype(&::MHD_suspend_connection) suspend_connection = nullptr;
  decltype(&::MHD_resume_connection) resume_connection = nullptr;
  decltype(&::MHD_create_response_from_buffer) create_response_from_buffer = nullptr;
  decltype(&::MHD_add_response_header) add_response_header = nullptr;
  decltype(&::MHD_queue_response) queue_response = nullptr;
  decltype(&::MHD_destroy_response) destroy_response = nullptr;

  /// Loads `library`; on failure `error` says in one line what is missing.
  static std::optional<MicroHttpd> load(const char* library, std::string& error);
};

}  // namespace supv
