#include "gateway/dev_kv_microhttpd.h"

#include <dlfcn.h>

namespace supv {
namespace {

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  // POSIX promises that a function's address fits what dlsym returns.
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

}  // namespace

std::optional<MicroHttpd> MicroHttpd::load(const char* library, std::string& error) {
  void* handle = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    error = std::string(library) + " is missing (Debian package libmicrohttpd12): " + ::dlerror();
    return std::nullopt;
  }
  MicroHttpd api;
  const bool complete =
      find(handle, "MHD_start_daemon", api.start_daemon) &&
      find(handle, "MHD_stop_daemon", api.stop_daemon) &&
      find(handle, "MHD_get_daemon_info", api.get_daemon_info) &&
      find(handle, "MHD_get_timeout", api.get_timeout) && find(handle, "MHD_run", api.run) &&
      find(handle, "MHD_suspend_connection", api.suspend_connection) &&
      find(handle, "MHD_resume_connection", api.resume_connection) &&
      find(handle, "MHD_create_response_from_buffer", api.create_response_from_buffer) &&
      find(handle, "MHD_add_response_header", api.add_response_header) &&
      find(handle, "MHD_queue_response", api.queue_response) &&
      find(handle, "MHD_destroy_response", api.destroy_response);
  if (complete) return api;
  error = std::string(library) + " lacks a function that is needed";
  return std::nullopt;
}

}  // namespace supv
