#include "app/places.h"

#include <fmt/format.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <sstream>

namespace supv {
namespace {

bool is_root() { return geteuid() == 0; }

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// An XDG folder: relative values are to be ignored, says the specification.
std::string xdg(const char* name, const char* below_home) {
  const std::string value = variable(name);
  if (!value.empty() && value.front() == '/') return value;
  const std::string home = variable("HOME");
  return (home.empty() ? "/" : home) + below_home;
}

std::string user_socket_dir() {
  const std::string runtime = variable("XDG_RUNTIME_DIR");
  if (!runtime.empty() && runtime.front() == '/') return runtime + "/supv";
  return fmt::format("/tmp/supv-{}", geteuid());
}

bool is_socket(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

bool is_directory(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace

std::string default_config_dir() {
  return is_root() ? "/etc/supv" : xdg("XDG_CONFIG_HOME", "/.config") + "/supv";
}

std::string default_socket() {
  const std::string chosen = variable("SUPV_SOCKET");
  if (!chosen.empty()) return chosen;
  return (is_root() ? "/run/supv" : user_socket_dir()) + "/supvd.sock";
}

std::string default_state_dir() {
  const std::string chosen = variable("SUPV_STATE_DIR");
  if (!chosen.empty()) return chosen;
  return is_root() ? "/var/lib/supv" : xdg("XDG_STATE_HOME", "/.local/state") + "/supv";
}

std::string default_log_dir() {
  return is_root() ? "/var/log/supv" : xdg("XDG_STATE_HOME", "/.local/state") + "/supv/log";
}

std::vector<std::string> other_sockets() {
  std::vector<std::string> found;
  glob_t matches{};
  constexpr std::array<const char*, 3> kPatterns = {
      "/run/supv/supvd.sock", "/run/user/*/supv/supvd.sock", "/tmp/supv-*/supvd.sock"};
  for (const char* pattern : kPatterns) {
    if (glob(pattern, 0, nullptr, &matches) == 0) {
      for (std::size_t i = 0; i < matches.gl_pathc; ++i) {
        if (is_socket(matches.gl_pathv[i])) found.emplace_back(matches.gl_pathv[i]);
      }
    }
    globfree(&matches);
  }
  const std::string own = user_socket_dir() + "/supvd.sock";
  bool listed = !is_socket(own);
  for (const std::string& path : found) listed = listed || path == own;
  if (!listed) found.push_back(own);
  return found;
}

std::string own_program() {
  std::array<char, PATH_MAX> path{};
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - 1);
  return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : "";
}

std::vector<std::string> watch_dirs() {
  std::vector<std::string> dirs;
  std::string folder = own_program();
  // PREFIX/bin/supvctl -> PREFIX/share/supv/watches; from a build tree: the checkout's watches/.
  for (int up = 0; up < 3 && !folder.empty(); ++up) {
    folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
    for (const char* below : {"/share/supv/watches", "/watches"}) {
      if (is_directory(folder + below)) dirs.push_back(folder + below);
    }
  }
  for (const char* fixed : {"/usr/local/share/supv/watches", "/usr/share/supv/watches"}) {
    if (is_directory(fixed)) dirs.emplace_back(fixed);
  }
  return dirs;
}

std::vector<std::string> plugin_dirs() {
  std::vector<std::string> dirs;
  const auto add = [&dirs](const std::string& dir) {
    const bool known = std::find(dirs.begin(), dirs.end(), dir) != dirs.end();
    if (!known && !dir.empty() && dir.front() == '/' && is_directory(dir)) dirs.push_back(dir);
  };
  std::istringstream chosen(variable("SUPV_PLUGIN_PATH"));
  for (std::string dir; std::getline(chosen, dir, ':');) add(dir);
  // PREFIX/sbin/supvd -> PREFIX/lib/supv/conditions
  const std::string program = own_program();
  const std::string folder = program.substr(0, std::min(program.rfind('/'), program.size()));
  add(folder.substr(0, std::min(folder.rfind('/'), folder.size())) + "/lib/supv/conditions");
  add("/usr/local/lib/supv/conditions");
  add("/usr/lib/supv/conditions");
  return dirs;
}

std::string absolute_path(const std::string& path) {
  if (!path.empty() && path.front() == '/') return path;
  std::array<char, PATH_MAX> here{};
  if (getcwd(here.data(), here.size()) == nullptr) return path;
  return fmt::format("{}/{}", here.data(), path);
}

}  // namespace supv
