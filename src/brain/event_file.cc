#include "brain/event_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <deque>

#include "core/protocol.h"

namespace supv {
namespace {

/// The lines of a file, or nothing if it cannot be read. Bounded by twice the limit of an
/// EventFile, which is the size such a file never exceeds.
std::string content(const std::string& path, std::uint64_t limit) {
  std::string text;
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return text;
  text.resize(2 * limit);
  std::size_t size = 0;
  ssize_t count = 0;
  while (size < text.size() &&
         (count = ::read(fd.get(), text.data() + size, text.size() - size)) > 0) {
    size += static_cast<std::size_t>(count);
  }
  text.resize(size);
  return text;
}

}  // namespace

EventFile::EventFile(const std::string& directory, std::uint64_t limit)
    : path_(directory + "/events.jsonl"), limit_(limit) {
  open_file();
}

void EventFile::open_file() {
  fd_.reset(::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
  struct stat status {};
  size_ = 0;
  if (!fd_ || ::fstat(fd_.get(), &status) < 0) return;
  size_ = static_cast<std::uint64_t>(status.st_size);
  // A line that a kill or a power cut left unfinished must not swallow the next one.
  char last = '\n';
  if (size_ > 0 && ::pread(fd_.get(), &last, 1, static_cast<off_t>(size_) - 1) == 1 &&
      last != '\n') {
    write_line("");
  }
}

std::string EventFile::append(const fx::Note& note, std::int64_t wall_ms) {
  std::string line = protocol::history_text({wall_ms, note});
  if (!fd_) open_file();
  if (size_ + line.size() >= limit_ && size_ > 0) rotate();
  if (missing_ > 0) {
    fx::Note gap;
    gap.kind = NoteKind::warning;
    gap.reason = std::to_string(missing_) + " events could not be recorded before this one";
    if (write_line(protocol::history_text({wall_ms, gap}))) missing_ = 0;
  }
  if (missing_ > 0 || !write_line(line)) {
    ++dropped_;
    ++missing_;
  }
  return line;
}

void EventFile::rotate() {
  // If it cannot be moved away it must not grow without end either.
  if (::rename(path_.c_str(), (path_ + ".1").c_str()) == 0) return open_file();
  if (fd_ && ::ftruncate(fd_.get(), 0) == 0) size_ = 0;
}

/// All of it or nothing.
bool EventFile::write_line(std::string_view line) {
  if (!fd_) return false;
  std::string bytes(line);
  bytes += '\n';
  const ssize_t count = ::write(fd_.get(), bytes.data(), bytes.size());
  if (count == static_cast<ssize_t>(bytes.size())) {
    size_ += bytes.size();
    return true;
  }
  if (count > 0 && ::ftruncate(fd_.get(), static_cast<off_t>(size_)) < 0) {
    size_ += static_cast<std::uint64_t>(count);
  }
  return false;
}

std::vector<std::string> EventFile::last(
    std::size_t count, const std::function<bool(std::string_view watch)>& wanted) const {
  std::deque<std::string> lines;
  // From the end, so that only what is shown is parsed.
  for (const std::string& path : {path_, path_ + ".1"}) {
    const std::string text = content(path, limit_);
    std::size_t end = text.size();
    while (end > 0 && lines.size() < count) {
      const std::size_t before = end >= 2 ? text.rfind('\n', end - 2) : std::string::npos;
      const std::size_t begin = before == std::string::npos ? 0 : before + 1;
      std::string line = text.substr(begin, end - begin);
      end = begin;
      if (line.empty() || line.back() != '\n') continue;  // Being written, or torn.
      line.pop_back();
      const auto parsed = protocol::parse_history(line);
      if (parsed && wanted(parsed->note.watch)) lines.push_front(std::move(line));
    }
  }
  return {lines.begin(), lines.end()};
}

}  // namespace supv
