#include "plugin/library.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"

namespace supv {
namespace {

constexpr const char* kSymbol = "supv_condition_plugin";

/// Why somebody else could change what this is; empty: nobody could.
std::string foreign_hand(const struct stat& status, const std::string& path) {
  const bool directory = S_ISDIR(status.st_mode);
  if (status.st_uid != 0 && status.st_uid != ::geteuid())
    return fmt::format("{} belongs to user {}, neither to root nor to the user of supvd", path,
                       status.st_uid);
  // Others may put files into a sticky directory, but not move ours away.
  const bool sticky = directory && (status.st_mode & S_ISVTX) != 0;
  if ((status.st_mode & S_IWOTH) != 0 && !sticky)
    return fmt::format("{} can be written by everybody", path);
  if ((status.st_mode & S_IWGRP) != 0 && !sticky && status.st_gid != 0 &&
      !(status.st_uid == ::geteuid() && status.st_gid == ::getegid() && ::geteuid() != 0))
    return fmt::format("{} can be written by group {}", path, status.st_gid);
  return {};
}

/// Every directory on the way, from the root on, symbolic links resolved.
void check_way(const std::string& real) {
  for (std::size_t slash = 0; slash != std::string::npos; slash = real.find('/', slash + 1)) {
    const std::string directory = slash == 0 ? "/" : real.substr(0, slash);
    struct stat status {};
    if (::stat(directory.c_str(), &status) < 0)
      throw BadPlugin(fmt::format("{}: {}", directory, std::strerror(errno)));
    if (const std::string hand = foreign_hand(status, directory); !hand.empty())
      throw BadPlugin(hand);
  }
}

}  // namespace

std::string plugin_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  std::string_view file = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (!file.ends_with(".so")) return {};
  return std::string(file.substr(0, file.size() - 3));
}

Fd open_plugin(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) throw BadPlugin(std::strerror(errno));
  const std::string real = resolved;
  ::free(resolved);
  check_way(real);
  Fd file(::open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) throw BadPlugin(std::strerror(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) < 0) throw BadPlugin(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) throw BadPlugin("it is not a file");
  if (const std::string hand = foreign_hand(status, "the file"); !hand.empty())
    throw BadPlugin(hand);
  return file;
}

void* load_library(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library != nullptr) return library;
  const char* why = ::dlerror();
  throw BadPlugin(printable(why == nullptr ? "it cannot be loaded" : why));
}

const supv_condition_descriptor& exported_descriptor(void* library) {
  const void* symbol = ::dlsym(library, kSymbol);
  if (symbol == nullptr)
    throw BadPlugin(fmt::format("it does not export {}: it is no condition plugin", kSymbol));
  return *static_cast<const supv_condition_descriptor*>(symbol);
}

void check_name(const supv_condition_descriptor& descriptor, std::string_view name) {
  if (descriptor.abi != SUPV_CONDITION_ABI) return;  // Nothing behind it is known.
  if (descriptor.name != nullptr && name != descriptor.name)
    throw BadPlugin(fmt::format("it is the condition '{}', so its file must be {}.so",
                                printable(descriptor.name), printable(descriptor.name)));
}

const supv_condition_descriptor& load_plugin(const std::string& path, std::string_view name) {
  const supv_condition_descriptor& descriptor = exported_descriptor(load_library(path));
  check_name(descriptor, name);
  return descriptor;
}

}  // namespace supv
