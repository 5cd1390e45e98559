#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lua_world.h"

namespace supv::lua {
namespace {

constexpr std::size_t kMaxFile = std::size_t{64} * 1024;

int failed(lua_State* state, int error) {
  lua_pushnil(state);
  lua_pushstring(state, std::strerror(error));
  return 2;
}

/// The path as it is meant; it may be a new value on top of the stack.
const char* check_path(lua_State* state, int argument) {
  const char* path = check_text(state, argument);
  if (path[0] == '/') return path;
  const std::string& dir = World::of(state).dir();
  luaL_argcheck(state, path[0] != '\0' && !dir.empty(), argument, "not an absolute path");
  return lua_pushfstring(state, "%s/%s", dir.c_str(), path);
}

/// What a path leads to, or false, errno saying why. It asks the disk itself: one that is dead
/// takes the process of the scripts with it, which is what it has one for.
bool look(const char* path, struct stat& about) { return ::stat(path, &about) == 0; }

/// read(path): a file of the kernel's below /proc or /sys.
int read(lua_State* state) {
  const char* path = check_text(state, 1);
  char bytes[kMaxFile];
  std::size_t size = 0;
  bool there = false;
  const World& world = World::of(state);
  const bool succeeded = succeeds([&] {
    std::string text;
    there = world.host().read(path, text);
    size = text.copy(bytes, kMaxFile);
  });
  if (!succeeded || !there) {
    lua_pushnil(state);
    lua_pushliteral(state, "cannot be read");
    return 2;
  }
  lua_pushlstring(state, bytes, size);
  return 1;
}

/// As many bytes as there are, at most kMaxFile; or -errno.
std::int64_t read_file(const char* path, char* bytes) {
  // A FIFO that nobody writes to would be waited for.
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return -errno;
  struct stat about {};
  std::int64_t size = 0;
  if (::fstat(fd, &about) != 0) {
    size = -errno;
  } else if (!S_ISREG(about.st_mode)) {
    size = S_ISDIR(about.st_mode) ? -EISDIR : -EINVAL;
  }
  while (size >= 0 && static_cast<std::size_t>(size) < kMaxFile) {
    const ssize_t count = ::read(fd, bytes + size, kMaxFile - static_cast<std::size_t>(size));
    if (count == 0) break;
    if (count < 0 && errno == EINTR) continue;
    size = count < 0 ? -errno : size + count;
  }
  ::close(fd);
  return size;
}

/// file(path): the first 64 KiB of a regular file.
int file(lua_State* state) {
  const char* path = check_path(state, 1);
  char bytes[kMaxFile];
  const std::int64_t size = read_file(path, bytes);
  if (size == -EINVAL) {
    lua_pushnil(state);
    lua_pushliteral(state, "not a regular file");
    return 2;
  }
  if (size < 0) return failed(state, static_cast<int>(-size));
  lua_pushlstring(state, bytes, static_cast<std::size_t>(size));
  return 1;
}

int exists(lua_State* state) {
  struct stat about {};
  const bool there = look(check_path(state, 1), about);
  if (!there && errno != ENOENT && errno != ENOTDIR) return failed(state, errno);
  lua_pushboolean(state, there ? 1 : 0);
  return 1;
}

int mtime(lua_State* state) {
  struct stat about {};
  if (!look(check_path(state, 1), about)) return failed(state, errno);
  lua_pushnumber(state, static_cast<double>(about.st_mtim.tv_sec) +
                            static_cast<double>(about.st_mtim.tv_nsec) / 1e9);
  return 1;
}

int size(lua_State* state) {
  struct stat about {};
  if (!look(check_path(state, 1), about)) return failed(state, errno);
  lua_pushinteger(state, about.st_size);
  return 1;
}

}  // namespace

void add_files(lua_State* state) {
  static constexpr luaL_Reg kFunctions[] = {{"read", read},   {"file", file}, {"exists", exists},
                                            {"mtime", mtime}, {"size", size}, {nullptr, nullptr}};
  luaL_setfuncs(state, kFunctions, 0);
}

}  // namespace supv::lua
