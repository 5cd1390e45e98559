#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>

#include "scribe/log_file.h"

namespace supv::scribe {
namespace {

/// Takes on the file system rights of a user for one scope (with them go CAP_DAC_OVERRIDE and its
/// kin), so that nothing is opened that he could not open himself.
class ActingAs {
 public:
  ActingAs(std::uint32_t uid, std::uint32_t gid)
      : gid_(static_cast<gid_t>(setfsgid(gid))), uid_(static_cast<uid_t>(setfsuid(uid))) {}
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;
  ~ActingAs() {
    const int error = errno;
    setfsuid(uid_);
    setfsgid(gid_);
    errno = error;
  }

 private:
  gid_t gid_;
  uid_t uid_;
};

/// True when only root and ourselves can change what this name leads to. What is not there yet
/// will be made by us.
bool trusted(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return errno == ENOENT;
  if (status.st_uid != 0 && status.st_uid != geteuid()) return false;
  return S_ISLNK(status.st_mode) || (status.st_mode & 022) == 0;
}

bool every_parent_trusted(const std::string& path) {
  if (!trusted("/")) return false;
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    if (!trusted(path.substr(0, at))) return false;
  }
  return true;
}

/// Checks the path as written and as it resolves, so that a trusted symlink into somebody's home
/// is seen as well.
bool beyond_reach_of_others(const std::string& path) {
  if (!every_parent_trusted(path)) return false;
  const std::string parent = path.substr(0, path.rfind('/') + 1);
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(parent.c_str(), nullptr),
                                                         &std::free);
  return real == nullptr || every_parent_trusted(std::string(real.get()) + "/");
}

void make_parents(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    mkdir(path.substr(0, at).c_str(), 0750);  // The open that follows says what went wrong.
  }
}

Fd open_file(const std::string& path, const LogOwner& owner) {
  // O_NONBLOCK: a FIFO without a reader must not stop the scribe. No O_APPEND: splice refuses it.
  constexpr int kFlags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  Fd file(open(path.c_str(), kFlags, owner.mode));
  if (file || errno != ENOENT) return file;
  make_parents(path);
  return Fd(open(path.c_str(), kFlags, owner.mode));
}

}  // namespace

Fd open_log(const std::string& path, const LogOwner& owner) {
  if (path == "/dev/stdout") return Fd(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (path == "/dev/stderr") return Fd(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  if (geteuid() != 0 || owner.uid == 0 || beyond_reach_of_others(path)) {
    return open_file(path, owner);
  }
  const ActingAs user(owner.uid, owner.gid);
  return open_file(path, owner);
}

}  // namespace supv::scribe
