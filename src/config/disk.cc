#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/fd.h"
#include "config/load.h"
#include "config/source.h"

namespace supv {
namespace {

std::string reason() { return std::generic_category().message(errno); }

std::optional<std::string> read_file(const std::string& path, std::string& error) {
  // Non-blocking, because opening a FIFO would wait for its writer.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) {
    error = reason();
    return std::nullopt;
  }
  if (!S_ISREG(status.st_mode)) {
    error = S_ISDIR(status.st_mode) ? "it is a directory" : "it is not a regular file";
    return std::nullopt;
  }
  std::string content;
  std::string block(65536, '\0');
  while (content.size() <= kMaxFileBytes) {
    const ssize_t got = ::read(fd.get(), block.data(), block.size());
    if (got == 0) return content;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      error = reason();
      return std::nullopt;
    }
    content.append(block, 0, static_cast<std::size_t>(got));
  }
  return content;
}

std::vector<std::string> match(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  ::globfree(&found);
  return paths;
}

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace

FileAccess disk_access() { return {read_file, match, is_directory, {}}; }

}  // namespace supv
