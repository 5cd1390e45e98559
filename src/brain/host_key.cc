#include "brain/host_key.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "base/fd.h"
#include "brain/sync_parent.h"

namespace supv {
namespace {

using Secret = std::array<unsigned char, 16>;

HostKey made_of(const Secret& secret, bool fresh) {
  HostKey host;
  std::memcpy(&host.key.k0, secret.data(), 8);
  std::memcpy(&host.key.k1, secret.data() + 8, 8);
  host.id = to_hex(keyed_hash(host.key, "supv host")).substr(0, 16);
  host.fresh = fresh;
  return host;
}

std::optional<HostKey> read_key(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::nullopt;
  check_sys(fd.get(), path.c_str());
  // One byte more, to see that there is none.
  std::array<unsigned char, 17> bytes{};
  const ssize_t count = check_sys(::read(fd.get(), bytes.data(), bytes.size()), path.c_str());
  if (count != static_cast<ssize_t>(sizeof(Secret))) {
    throw std::runtime_error(path +
                             ": not a host key (remove it to get a new one; values seen "
                             "before then count as unknown)");
  }
  ::fchmod(fd.get(), 0600);  // A restored backup may have let others read it.
  Secret secret;
  std::memcpy(secret.data(), bytes.data(), secret.size());
  return made_of(secret, false);
}

void write_key(const std::string& path, const Secret& secret) {
  const Fd fd(
      check_sys(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), path.c_str()));
  const ssize_t count = check_sys(::write(fd.get(), secret.data(), secret.size()), path.c_str());
  if (count != static_cast<ssize_t>(secret.size())) {
    throw std::system_error(ENOSPC, std::generic_category(), path);
  }
  check_sys(::fsync(fd.get()), path.c_str());
}

}  // namespace

HostKey host_key(const std::string& directory) {
  const std::string path = directory + "/host.key";
  if (auto known = read_key(path)) return *known;
  Secret secret;
  if (::getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size())) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  // Whole under its name, or not there: a reader never sees half a key.
  const std::string draft = path + ".new";
  ::unlink(draft.c_str());  // Of one who was killed here.
  write_key(draft, secret);
  check_sys(::rename(draft.c_str(), path.c_str()), path.c_str());
  sync_parent(path);
  return made_of(secret, true);
}

}  // namespace supv
