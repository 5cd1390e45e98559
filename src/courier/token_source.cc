#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "courier/cluster.h"

namespace supv {
namespace {

constexpr std::size_t kMaxToken = 4096;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// Goes into a header line, where a control character would start another one.
bool fits_header(std::string_view token) {
  for (const char c : token)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') return false;
  return token.size() < kMaxToken;
}

}  // namespace

TokenSource::TokenSource(const ResolvedCluster& cluster)
    : file_(cluster.token_file), token_(trim(cluster.token)) {
  if (fits_header(token_)) return;
  token_.clear();
  problem_ = "the token contains a character that no token has";
}

const std::string& TokenSource::current() {
  if (file_.empty()) return token_;
  struct stat seen {};
  if (::stat(file_.c_str(), &seen) != 0) {
    problem_ = "token_file " + file_ + ": " + std::strerror(errno);
    return token_;
  }
  const std::int64_t changed = seen.st_mtim.tv_sec * 1'000'000'000 + seen.st_mtim.tv_nsec;
  const bool same = changed == changed_ns_ && seen.st_ino == inode_ && seen.st_size == size_;
  if (same && !read_again_) return token_;
  changed_ns_ = changed;
  inode_ = seen.st_ino;
  size_ = seen.st_size;
  read_again_ = false;
  problem_.clear();
  if ((seen.st_mode & (S_IRWXG | S_IRWXO)) != 0 && S_ISREG(seen.st_mode))
    problem_ = "token_file " + file_ + " can be read by others (chmod 600)";
  read();
  return token_;
}

void TokenSource::read() {
  // Not blocking: a FIFO in the file's place would otherwise stop the brain.
  const Fd fd(::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  char buffer[kMaxToken];
  const ssize_t size = fd ? ::read(fd.get(), buffer, sizeof buffer) : -1;
  if (size < 0) {
    read_again_ = true;
    problem_ = "token_file " + file_ + ": " + std::strerror(errno);
    return;
  }
  const std::string_view token = trim({buffer, static_cast<std::size_t>(size)});
  if (token.empty()) {
    problem_ = "token_file " + file_ + " is empty; the last token stays in use";
  } else if (!fits_header(token)) {
    problem_ = "token_file " + file_ + " does not hold a token; the last one stays in use";
  } else {
    token_ = token;
  }
}

}  // namespace supv
