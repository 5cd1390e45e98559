#include "plugin/ask.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/fd.h"
#include "base/pack.h"
#include "base/text.h"
#include "base/units.h"
#include "plugin/leftovers.h"
#include "plugin/library.h"

namespace supv {
namespace {

constexpr std::size_t kMostFacts = std::size_t{1} << 20;

struct Trying {
  const PluginOptions& options;
  static const char* option(void* context, const char* name) {
    for (const auto& [key, value] : static_cast<Trying*>(context)->options) {
      if (key == name) return value.c_str();
    }
    return nullptr;
  }
  static const char* watch_name(void*) { return "check"; }
};

// Nothing runs that it could look at.
std::int32_t no_pid(void*) { return 0; }
int no_usage(void*, supv_scope, int, supv_usage*) { return -1; }
void no_conclude(void*, const supv_verdict*) {}
int no_http(void*, const supv_http_request*) { return -1; }
int no_run(void*, const char*, std::int64_t) { return -1; }
std::int64_t no_read(void*, const char*, char*, std::size_t) { return -ENOTSUP; }
const char* no_cgroup(void*) { return nullptr; }
std::size_t no_pids(void*, supv_scope, std::int32_t*, std::size_t) { return 0; }

std::string refusal(const supv_condition_descriptor& condition, const PluginOptions& options) {
  Trying trying{options};
  const supv_host host{sizeof host, &trying,  Trying::option, Trying::watch_name,
                       no_pid,      no_usage, no_conclude,    no_http,
                       no_run,      no_read,  no_cgroup,      no_pids};
  std::array<char, 256> why{};
  void* made = condition.create(&host, why.data(), why.size());
  why.back() = '\0';
  if (made == nullptr) return why[0] == '\0' ? "it could not be made" : printable(why.data());
  condition.destroy(made);
  return {};
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

std::string read_all(int fd) {
  std::string all;
  std::array<char, 16384> bytes;
  for (;;) {
    const ssize_t count = ::read(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return all;
    all.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

/// The child: a fresh image, so that nothing of ours is in the plugin's reach.
[[noreturn]] void become_describer(int in, int out, const std::string& path,
                                   const Confinement& limits) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(in, 0);
  ::dup2(out, 1);
  const std::vector<std::string> words = describe_command(path, limits);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv("/proc/self/exe", argv.data());
  ::_exit(127);
}

/// Reads what there is. False: there will be no more.
bool take(int fd, std::string& said) {
  std::array<char, 16384> bytes;
  while (said.size() < kMostFacts) {
    const ssize_t count = ::read(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    if (count == 0) return false;
    said.append(bytes.data(), static_cast<std::size_t>(count));
  }
  return false;
}

/// What the child says until it ends: somebody else may hold the pipe for longer. Its time may be
/// up before: false.
bool see_out(pid_t pid, int pipe, std::chrono::steady_clock::time_point limit, std::string& said) {
  const Fd child(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ::fcntl(pipe, F_SETFL, O_NONBLOCK);
  for (bool open = true;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(limit - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    std::array<pollfd, 2> ready{{{child.get(), POLLIN, 0}, {open ? pipe : -1, POLLIN, 0}}};
    ::poll(ready.data(), ready.size(), static_cast<int>(left.count()));
    if (open && (ready[0].revents | ready[1].revents) != 0) open = take(pipe, said);
    if (ready[0].revents != 0) return true;
  }
}

std::string how_it_ended(int status, bool in_time) {
  if (!in_time) {
    return fmt::format("it did not say within {} s what it is", kPluginPatience.count() / 1000);
  }
  if (WIFSIGNALED(status))
    return fmt::format("it was killed by {} while it was looked at",
                       ::sigabbrev_np(WTERMSIG(status)));
  return fmt::format("it ended the process that looked at it, with code {}", WEXITSTATUS(status));
}

PluginFacts facts_of(pid_t child, int pipe, std::chrono::milliseconds patience) {
  std::string said;
  const bool in_time = see_out(child, pipe, std::chrono::steady_clock::now() + patience, said);
  if (!in_time) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const bool well = in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0 && !said.empty();
  return well ? unpack_facts(said) : PluginFacts{how_it_ended(status, in_time), {}, {}};
}

}  // namespace

PluginFacts study_plugin(const std::string& path, const std::vector<PluginOptions>& tried,
                         const Confinement& limits) {
  PluginFacts facts;
  try {
    const Fd file = open_plugin(path);
    confine(limits);
    const auto& raw = load_plugin(fmt::format("/proc/self/fd/{}", file.get()), plugin_name(path));
    const Declaration declaration(raw);
    facts.declaration = declaration.pack();
    for (const PluginOptions& options : tried)
      facts.refusals.push_back(refusal(declaration.descriptor(), options));
  } catch (const std::exception& error) {
    facts.error = error.what();
  } catch (...) {
    facts.error = "it threw something while it was looked at";
  }
  return facts;
}

PluginFacts ask_plugin(const std::string& path, const std::vector<PluginOptions>& tried,
                       const Confinement& limits) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return {std::strerror(errno), {}, {}};
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const Fd input(::memfd_create("supv-options", MFD_CLOEXEC));
  if (!input || !write_all(input.get(), pack(tried)) || ::lseek(input.get(), 0, SEEK_SET) < 0)
    return {std::strerror(errno), {}, {}};
  const pid_t child = ::fork();
  if (child < 0) return {fmt::format("fork: {}", std::strerror(errno)), {}, {}};
  if (child == 0) become_describer(input.get(), theirs.get(), path, limits);
  theirs.reset();
  return facts_of(child, ours.get(), kDescriberPatience);
}

std::vector<std::string> describe_command(const std::string& path, const Confinement& limits) {
  return {"/proc/self/exe", "--role", "describe", path, limits.user, std::to_string(limits.memory)};
}

int run_describe(const std::vector<std::string>& arguments) {
  if (arguments.size() != 3) return 2;
  const std::vector<PluginOptions> tried = unpack_tried(read_all(0));
  const Fd out(::fcntl(1, F_DUPFD_CLOEXEC, 3));
  // It must not write between our lines.
  const Fd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd <= 2; ++fd) ::dup2(nowhere.get(), fd);
  const Confinement limits{arguments[1], parse_unsigned(arguments[2]).value_or(0)};
  // Another process tries it, so that this one can end whatever it leaves.
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0 || ::prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return 1;
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return 1;
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(out.get());
    // What the plugin has registered for the end of the process is not run.
    ::_exit(write_all(theirs.get(), pack(study_plugin(arguments[0], tried, limits))) ? 0 : 1);
  }
  theirs.reset();
  PluginFacts facts = facts_of(child, ours.get(), kPluginPatience);
  if (kill_what_is_left() > 0 && facts.error.empty())
    facts.error = "it left a process behind when it was looked at";
  return write_all(out.get(), pack(facts)) ? 0 : 1;
}

std::string pack(const PluginFacts& facts) {
  PackWriter out;
  out.text(facts.error);
  out.text(facts.declaration);
  out.number(static_cast<std::uint32_t>(facts.refusals.size()));
  for (const std::string& one : facts.refusals) out.text(one);
  return out.take();
}

PluginFacts unpack_facts(std::string_view packed) {
  PackReader in(packed);
  PluginFacts facts;
  facts.error = in.text();
  facts.declaration = in.text();
  const auto count = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; in.ok() && i < count; ++i) facts.refusals.push_back(in.text());
  if (!in.complete()) return {"what it said of itself is damaged", {}, {}};
  return facts;
}

std::string pack(const std::vector<PluginOptions>& tried) {
  PackWriter out;
  out.number(static_cast<std::uint32_t>(tried.size()));
  for (const PluginOptions& options : tried) {
    out.number(static_cast<std::uint32_t>(options.size()));
    for (const auto& [name, value] : options) {
      out.text(name);
      out.text(value);
    }
  }
  return out.take();
}

std::vector<PluginOptions> unpack_tried(std::string_view packed) {
  PackReader in(packed);
  std::vector<PluginOptions> tried;
  const auto sets = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; in.ok() && i < sets; ++i) {
    PluginOptions& options = tried.emplace_back();
    const auto count = in.number<std::uint32_t>();
    for (std::uint32_t n = 0; in.ok() && n < count; ++n) {
      std::string name = in.text();
      options.emplace_back(std::move(name), in.text());
    }
  }
  if (!in.complete()) tried.clear();
  return tried;
}

}  // namespace supv
