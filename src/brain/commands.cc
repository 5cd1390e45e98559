#include "brain/commands.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "brain/runs.h"
#include "brain/start_refused.h"

namespace supv {

namespace {

/// Marks a slot as a command's, for the next brain.
constexpr std::string_view kMemo = "command";
/// What one turn of the reactor spends on a command that writes without end.
constexpr std::size_t kAtOnce = std::size_t{1} << 20;

wire::Run number(RunId run) { return static_cast<wire::Run>(run); }

/// A file that holds the input: nobody has to keep writing it, and it ends by itself.
Fd input_file(const std::string& text) {
  if (text.empty()) return Fd(check_sys(::open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null"));
  Fd file(check_sys(::memfd_create("supv-input", MFD_CLOEXEC), "memfd_create"));
  for (std::size_t done = 0; done < text.size();) {
    done += static_cast<std::size_t>(
        check_sys(::write(file.get(), text.data() + done, text.size() - done), "write"));
  }
  check_sys(::lseek(file.get(), 0, SEEK_SET), "lseek");
  return file;
}

struct Pipe {
  Fd ours;
  Fd theirs;
};

/// `owner` may open it again by name (/dev/stdout), as scripts do.
Pipe make_pipe(const Account& owner) {
  int fds[2];
  check_sys(::pipe2(fds, O_CLOEXEC), "pipe2");
  Pipe pipe{Fd(fds[0]), Fd(fds[1])};
  check_sys(::fcntl(fds[0], F_SETFL, O_NONBLOCK), "fcntl");
  if (::geteuid() == 0) check_sys(::fchown(fds[1], owner.uid, owner.gid), "fchown");
  return pipe;
}

ExitStatus status_of(const wire::Status& status) {
  if (status.how == 1) return {ExitStatus::How::code, status.value, false};
  if (status.how == 2) return {ExitStatus::How::signal, status.value, status.dumped_core != 0};
  return {};
}

}  // namespace

Commands::Commands(Channel& keeper, Reactor& reactor, Environment own)
    : keeper_(keeper), reactor_(reactor), own_(std::move(own)) {
  // Above every number that an earlier brain can have used: none starts a thousand a second.
  timespec now{};
  check_sys(::clock_gettime(CLOCK_BOOTTIME, &now), "clock_gettime");
  generation_ = static_cast<std::uint64_t>(now.tv_sec) * 1000 +
                static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000 + 1;
}

Commands::Id Commands::run(Time now, CommandRequest request, Done done) {
  const auto id = static_cast<Id>(++last_id_);
  if (waiting_.size() >= kMaxWaiting) {
    CommandResult refused;
    refused.error = fmt::format("more than {} commands are waiting", kMaxWaiting);
    ready_.push_back({id, std::move(done), std::move(refused)});
    return id;
  }
  waiting_.push_back({id, std::move(request), std::move(done)});
  start_waiting(now);
  return id;
}

void Commands::cancel(Id id) {
  const auto same = [id](const auto& one) { return one.id == id; };
  std::erase_if(waiting_, same);
  std::erase_if(ready_, same);
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [&](const auto& entry) { return same(entry.second); });
  if (id == Id::none || found == running_.end()) return;
  Running& running = found->second;
  running.id = Id::none;
  // Whoever cancels may be in the middle of a read of its pipe.
  running.done = nullptr;
  running.output.watching.reset();
  running.errors.watching.reset();
  kill(running.run);
}

std::optional<Commands::Slot> Commands::free_slot() const {
  for (Slot slot = kFirstSlot; slot < kSlotEnd; ++slot) {
    if (!foreign_[slot] && !running_.contains(slot)) return slot;
  }
  return std::nullopt;
}

void Commands::start_waiting(Time now) {
  while (!waiting_.empty() && !finishing_) {
    const auto slot = free_slot();
    if (!slot) return;
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    start(*slot, now, std::move(next));
  }
}

void Commands::start(Slot slot, Time now, Waiting waiting) {
  Running running;
  running.id = waiting.id;
  running.run = static_cast<RunId>(++generation_ << 16 | slot);
  running.until = now + waiting.request.timeout;
  CommandResult failed;
  try {
    spawn(slot, waiting.request, running);
    running.done = std::move(waiting.done);
    running_.emplace(slot, std::move(running));
    return;
  } catch (const StartRefused& refused) {
    failed.error = refused.what();
  } catch (const std::system_error& error) {
    failed.error = error.what();
  }
  ready_.push_back({waiting.id, std::move(waiting.done), std::move(failed)});
}

/// Throws StartRefused or std::system_error; then nothing was started.
void Commands::spawn(Slot slot, const CommandRequest& request, Running& running) {
  fx::Spawn asked;
  asked.run = running.run;
  asked.watch = request.watch;
  asked.command = request.command;
  asked.process = request.process;
  asked.env = request.env;
  if (!asked.process) {
    ProcessSpec nowhere;
    nowhere.dir = "/";
    asked.process = std::make_shared<const ProcessSpec>(std::move(nowhere));
  }
  StartPlan start = plan_start(asked, own_, consul_address_);
  start.plan.standard_fds = true;
  Pipe output = make_pipe(start.account);
  Pipe errors = make_pipe(start.account);

  wire::Spawn message{};
  message.kind = wire::Kind::spawn;
  message.flags = request.command.own_shell ? std::uint32_t{wire::kGroupSignal} : 0;
  message.run = number(running.run);
  message.ladder_count = 2;
  message.ladder[0] = {SIGTERM, 1000};
  message.ladder[1] = {SIGKILL, 0};
  message.memo_size = static_cast<std::uint32_t>(kMemo.size());
  std::memcpy(message.memo, kMemo.data(), kMemo.size());
  message.child_fds = 3;
  std::vector<Fd> fds;
  fds.push_back(start.plan.build());
  fds.push_back(input_file(request.input));
  fds.push_back(std::move(output.theirs));
  fds.push_back(std::move(errors.theirs));
  listen(slot, &Running::output, running.output, std::move(output.ours), kMaxOutput);
  listen(slot, &Running::errors, running.errors, std::move(errors.ours), kMaxErrors);
  keeper_.send(message, std::move(fds));
}

void Commands::listen(Slot slot, Stream Running::*which, Stream& stream, Fd fd, std::size_t room) {
  stream.fd = std::move(fd);
  stream.room = room;
  stream.watching =
      Watching(reactor_, stream.fd.get(), EPOLLIN, [this, slot, which](std::uint32_t) {
        const auto found = running_.find(slot);
        if (found != running_.end()) drain(found->second.*which, kAtOnce);
      });
}

/// Takes what is there, at most about `most` bytes, keeping what there is room for.
void Commands::drain(Stream& stream, std::size_t most) {
  std::array<char, 16 * 1024> bytes;
  while (stream.fd && stream.text.size() < stream.room) {
    const std::size_t wanted = std::min(bytes.size(), stream.room - stream.text.size());
    const ssize_t count = ::read(stream.fd.get(), bytes.data(), wanted);
    if (count < 0) return;
    if (count == 0) return close(stream);
    stream.text.append(bytes.data(), static_cast<std::size_t>(count));
  }
  if (stream.fd) drop(stream, most);
}

/// The rest is thrown away by the kernel, without being copied to us.
void Commands::drop(Stream& stream, std::size_t most) {
  if (!nowhere_) nowhere_ = Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  for (std::size_t dropped = 0; dropped < most;) {
    const ssize_t count = ::splice(stream.fd.get(), nullptr, nowhere_.get(), nullptr,
                                   most - dropped, SPLICE_F_NONBLOCK);
    if (count < 0) return;
    if (count == 0) return close(stream);
    dropped += static_cast<std::size_t>(count);
  }
}

void Commands::close(Stream& stream) {
  stream.watching.reset();
  stream.fd.reset();
}

/// The caller's map entry stays until its tree is gone.
void Commands::answer(Running& running, CommandResult result) {
  if (running.id == Id::none) return;
  running.id = Id::none;
  for (Stream* stream : {&running.output, &running.errors}) {
    drain(*stream, kAtOnce);
    close(*stream);
  }
  result.output = std::move(running.output.text);
  result.errors = std::move(running.errors.text);
  // It may start, cancel or finish others.
  const Done done = std::move(running.done);
  running.done = nullptr;
  done(std::move(result));
}

void Commands::kill(RunId run) {
  wire::Stop message{};
  message.kind = wire::Kind::stop;
  message.run = number(run);
  message.now = 1;
  keeper_.send(message);
}

bool Commands::adopt(const wire::Slot& slot) {
  const Slot index = wire::slot_of(slot.run);
  if (index < kFirstSlot || index >= kSlotEnd) return false;
  const std::string_view memo(reinterpret_cast<const char*>(slot.memo),
                              std::min<std::size_t>(slot.memo_size, wire::kMaxMemo));
  if (memo != kMemo) {
    // A run of a watch, started by a supvd whose commands had no slots.
    foreign_[index] = true;
    return false;
  }
  generation_ = std::max(generation_, slot.run >> 16);
  Running& running = running_[index];
  running.run = static_cast<RunId>(slot.run);
  if (slot.phase == wire::Phase::gone || slot.phase == wire::Phase::failed) {
    forget(index);
  } else {
    kill(running.run);
  }
  return true;
}

bool Commands::hear(const wire::News& news, Time now) {
  const Slot index = wire::slot_of(news.run);
  if (index < kFirstSlot || index >= kSlotEnd || foreign_[index]) return false;
  const auto found = running_.find(index);
  if (found == running_.end() || number(found->second.run) != news.run) return true;
  // Everything else is a stage on the way to one of these.
  CommandResult result;
  if (news.kind == wire::Kind::start_failed) {
    result.error = fmt::format("{}: {}", wire::step_name(news.step), std::strerror(news.error));
  } else if (news.kind == wire::Kind::exited || news.kind == wire::Kind::gone) {
    result.status = status_of(news.status);
  } else {
    return true;
  }
  answer(found->second, std::move(result));
  if (news.kind != wire::Kind::exited) forget(index);
  start_waiting(now);
  return true;
}

void Commands::forget(Slot slot) {
  wire::Plain message{};
  message.kind = wire::Kind::forget;
  message.run = number(running_.at(slot).run);
  keeper_.send(message);
  running_.erase(slot);
}

std::optional<Time> Commands::deadline() const {
  if (!ready_.empty()) return Time{};  // Long past.
  std::optional<Time> first;
  for (const auto& [slot, running] : running_) {
    if (running.id != Id::none && (!first || running.until < *first)) first = running.until;
  }
  return first;
}

void Commands::tick(Time now) {
  // What is said may lead to more; that has its turn next time.
  for (std::size_t i = ready_.size(); i > 0 && !ready_.empty(); --i) {
    Ready next = std::move(ready_.front());
    ready_.pop_front();
    next.done(std::move(next.result));
  }
  for (Slot slot = kFirstSlot; slot < kSlotEnd && !running_.empty(); ++slot) {
    const auto found = running_.find(slot);
    if (found == running_.end() || found->second.id == Id::none || found->second.until > now) {
      continue;
    }
    kill(found->second.run);
    CommandResult result;
    result.timed_out = true;
    answer(found->second, std::move(result));
  }
}

void Commands::finish() {
  finishing_ = true;
  waiting_.clear();
  ready_.clear();
  for (auto& [slot, running] : running_) {
    running.id = Id::none;
    kill(running.run);
  }
}

}  // namespace supv
