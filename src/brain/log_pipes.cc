#include "brain/log_pipes.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "base/fd.h"
#include "brain/start_refused.h"

namespace supv {

namespace {

constexpr std::string_view kOut = ".out";
constexpr std::string_view kErr = ".err";

std::string stem(std::string_view file) {
  return std::string(file.substr(0, file.size() - kOut.size()));
}

/// Where a log is, seen from outside: `dir` is inside the chroot.
std::string outside(const ProcessSpec& process, const std::string& log) {
  if (log.empty() || log.front() == '/') return log;
  return fmt::format("{}{}/{}", process.chroot.text(), process.dir, log);
}

}  // namespace

LogPipes::LogPipes(std::string directory, std::string log_dir)
    : directory_(std::move(directory)), log_dir_(std::move(log_dir)) {}

std::string LogPipes::default_log(std::string_view file) const {
  return fmt::format("{}/{}.log", log_dir_, stem(file));
}

std::string LogPipes::log_of(const std::string& file, const Target& target) const {
  return target.log.empty() ? default_log(file) : target.log.text();
}

LogPipes::Pipes LogPipes::open(const std::string& watch, const ProcessSpec& process,
                               const Account& account) {
  const std::string out = watch + std::string(kOut);
  const std::string err = watch + std::string(kErr);
  follow(out, outside(process, process.log), account, true);
  if (process.err_log.empty() || process.err_log == process.log) {
    drop(err);
    return {path_of(out), {}};
  }
  follow(err, outside(process, process.err_log), account, true);
  return {path_of(out), path_of(err)};
}

void LogPipes::resume(const std::string& watch, const ProcessSpec& process) {
  const std::string out = watch + std::string(kOut);
  const std::string err = watch + std::string(kErr);
  struct stat status {};
  if (::stat(path_of(out).c_str(), &status) < 0) return;
  // The FIFO belongs to whom the run was when it was made.
  Account account;
  account.uid = status.st_uid;
  account.gid = status.st_gid;
  follow(out, outside(process, process.log), account, false);
  if (process.err_log.empty() || ::stat(path_of(err).c_str(), &status) < 0) return;
  follow(err, outside(process, process.err_log), account, false);
}

/// What is at the FIFO's place; made first, if need be.
struct stat LogPipes::fifo_at(const std::string& path, bool make) const {
  struct stat status {};
  if (::lstat(path.c_str(), &status) < 0) {
    if (errno != ENOENT || !make) check_sys(-1, "lstat");
    if (::mkdir(directory_.c_str(), 0700) < 0 && errno != EEXIST) check_sys(-1, "mkdir");
    if (::mkfifo(path.c_str(), 0600) < 0 && errno != EEXIST) check_sys(-1, "mkfifo");
    check_sys(::lstat(path.c_str(), &status), "lstat");
  }
  if (!S_ISFIFO(status.st_mode)) throw StartRefused("out", 0, path + " is not a FIFO");
  return status;
}

/// `make`: creates the FIFO if need be, and gives it to the user of the run. A program that opens
/// /dev/stdout anew (nginx, everything made for containers) asks the FIFO's own permissions, so it
/// must be the run's; nobody else gets any.
void LogPipes::follow(const std::string& file, const std::string& log, const Account& account,
                      bool make) {
  const std::string path = path_of(file);
  const struct stat status = fifo_at(path, make);
  if (make && (status.st_uid != account.uid || status.st_gid != account.gid)) {
    check_sys(::lchown(path.c_str(), account.uid, account.gid), "chown of the log FIFO");
  }
  Target target;
  // The same for every brain as long as the FIFO is the same.
  target.id = status.st_ino;
  target.uid = account.uid;
  target.gid = account.gid;
  if (log != default_log(file)) target.log = log;
  target.told = true;
  const auto known = targets_.find(file);
  // A restart like most: the scribe is not woken.
  if (known != targets_.end() && known->second == target) return;
  target.told = tell(file, target);
  targets_[file] = std::move(target);
}

bool LogPipes::tell(const std::string& file, const Target& target) {
  if (scribe_ == nullptr) return false;
  if (!scribe_->follow(target.id, path_of(file), log_of(file, target), target.uid, target.gid)) {
    throw StartRefused("out", ENAMETOOLONG, "the path of the log is too long or relative");
  }
  return true;
}

void LogPipes::tell_again(std::uint64_t id) {
  for (auto& [file, target] : targets_) target.told = target.told && target.id != id;
}

void LogPipes::drop(const std::string& file) {
  const auto found = targets_.find(file);
  if (found == targets_.end()) return;
  // The scribe has it open and reads what is left; the name can go.
  if (scribe_ != nullptr) scribe_->forget(found->second.id);
  ::unlink(path_of(file).c_str());
  targets_.erase(found);
}

void LogPipes::attach(ScribeChannel* scribe) {
  scribe_ = scribe;
  for (auto& [file, target] : targets_) {
    target.told =
        scribe_ != nullptr &&
        scribe_->follow(target.id, path_of(file), log_of(file, target), target.uid, target.gid);
  }
}

void LogPipes::keep_only(const std::function<bool(const std::string&)>& wanted) {
  std::vector<std::string> unwanted;
  for (const auto& [file, target] : targets_) {
    if (!wanted(stem(file))) unwanted.push_back(file);
  }
  for (const std::string& file : unwanted) drop(file);
}

std::vector<std::string> LogPipes::found() const {
  std::vector<std::string> watches;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(directory_.c_str()), ::closedir);
  if (!directory) return watches;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name.size() > kOut.size() && name.ends_with(kOut)) watches.push_back(stem(name));
  }
  return watches;
}

protocol::LogFiles LogPipes::files_of(const std::string& watch) const {
  protocol::LogFiles files;
  files.watch = watch;
  const auto out = targets_.find(watch + std::string(kOut));
  const auto err = targets_.find(watch + std::string(kErr));
  files.log = out == targets_.end() ? default_log(watch + std::string(kOut))
                                    : log_of(out->first, out->second);
  files.err_log = err == targets_.end() ? files.log : log_of(err->first, err->second);
  return files;
}

std::vector<std::string> LogPipes::logs_of(const std::string& watch,
                                           const ProcessSpec& process) const {
  std::vector<std::string> logs = {process.log.empty() ? default_log(watch + std::string(kOut))
                                                       : outside(process, process.log)};
  if (!process.err_log.empty() && process.err_log != process.log) {
    logs.push_back(outside(process, process.err_log));
  }
  return logs;
}

std::string LogPipes::watch_of(std::uint64_t id) const {
  for (const auto& [file, target] : targets_) {
    if (target.id == id) return stem(file);
  }
  return {};
}

}  // namespace supv
