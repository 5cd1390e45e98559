#include "courier/curl_api.h"

#include <dlfcn.h>

namespace supv::courier {
namespace {

/// CURLOPT_PROTOCOLS_STR is the newest thing used.
constexpr unsigned kOldest = 0x075500;

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  // POSIX promises that a function's address fits what dlsym returns.
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

bool find_all(void* library, CurlApi& api) {
  return find(library, "curl_global_init", api.global_init) &&
         find(library, "curl_version_info", api.version_info) &&
         find(library, "curl_easy_init", api.easy_init) &&
         find(library, "curl_easy_cleanup", api.easy_cleanup) &&
         find(library, "curl_easy_setopt", api.easy_setopt) &&
         find(library, "curl_easy_getinfo", api.easy_getinfo) &&
         find(library, "curl_easy_strerror", api.easy_strerror) &&
         find(library, "curl_multi_init", api.multi_init) &&
         find(library, "curl_multi_cleanup", api.multi_cleanup) &&
         find(library, "curl_multi_setopt", api.multi_setopt) &&
         find(library, "curl_multi_add_handle", api.multi_add_handle) &&
         find(library, "curl_multi_remove_handle", api.multi_remove_handle) &&
         find(library, "curl_multi_socket_action", api.multi_socket_action) &&
         find(library, "curl_multi_info_read", api.multi_info_read) &&
         find(library, "curl_slist_append", api.slist_append) &&
         find(library, "curl_slist_free_all", api.slist_free_all);
}

}  // namespace

std::optional<CurlApi> CurlApi::load(const char* library, std::string& error) {
  void* handle = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    error = std::string(library) + " is missing (Debian package libcurl4): " + ::dlerror();
    return std::nullopt;
  }
  CurlApi api;
  if (!find_all(handle, api) || api.version_info(CURLVERSION_NOW)->version_num < kOldest) {
    error = std::string(library) + " is too old: 7.85 or newer is needed";
    return std::nullopt;
  }
  if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    error = std::string(library) + " cannot be initialised";
    return std::nullopt;
  }
  return api;
}

}  // namespace supv::courier
