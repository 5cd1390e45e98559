#include "gateway/dev_kv_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/fd.h"
#include "base/units.h"

namespace supv {
namespace {

std::optional<std::string> read_all(int fd) {
  std::string text;
  char buffer[65536];
  ssize_t size = 0;
  while ((size = ::read(fd, buffer, sizeof buffer)) != 0) {
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return std::nullopt;
    text.append(buffer, static_cast<std::size_t>(size));
  }
  return text;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(fd, text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

}  // namespace

std::optional<KvFile::Content> KvFile::load(std::string& error) const {
  const Fd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return Content{};
  const auto text = fd ? read_all(fd.get()) : std::nullopt;
  if (!text) {
    error = path_ + ": " + std::strerror(errno);
    return std::nullopt;
  }
  const auto line = std::min(text->find('\n'), text->size());
  const auto port = parse_unsigned(std::string_view(*text).substr(0, line));
  auto store = KvStore::parse(std::string_view(*text).substr(std::min(line + 1, text->size())));
  if (!port || *port > 65535 || !store) {
    error = path_ + " is not the content of a trial KV; remove it to start anew";
    return std::nullopt;
  }
  return Content{static_cast<std::uint16_t>(*port), std::move(*store)};
}

bool KvFile::save(std::uint16_t port, const KvStore& store, std::string& error) const {
  const std::string next = path_ + ".new";
  const Fd fd(::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const std::string text = std::to_string(port) + '\n' + store.dump();
  if (fd && write_all(fd.get(), text) && ::rename(next.c_str(), path_.c_str()) == 0) return true;
  error = path_ + ": " + std::strerror(errno);
  ::unlink(next.c_str());
  return false;
}

}  // namespace supv
