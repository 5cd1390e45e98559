#include "host/run_plugin.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "host/instance.h"
#include "host/line.h"
#include "host/pool.h"
#include "plugin/leftovers.h"
#include "plugin/library.h"

namespace supv {
namespace {

using namespace host;

/// Threads of a plugin that may wait. More calls than these wait for their turn.
constexpr Pool::Limits kThreads{32, 4, std::chrono::milliseconds(20), std::chrono::hours(24)};

/// What a plugin must leave of the memory that it may have: with less nothing works here either.
constexpr std::size_t kLeastMemory = std::size_t{2} << 20;

bool memory_is_left() {
  void* block =
      ::mmap(nullptr, kLeastMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return block != MAP_FAILED && ::munmap(block, kLeastMemory) == 0;
}

/// A process that the last call has left; 0: none. Those that have ended are reaped.
pid_t left_behind() {
  for (;;) {
    const pid_t ended = ::waitpid(-1, nullptr, WNOHANG);
    if (ended > 0) continue;
    if (ended < 0) return 0;
    const std::vector<pid_t> left = children();
    return left.empty() ? -1 : left.front();
  }
}

class PluginHost {
 public:
  PluginHost(Line& line, const supv_condition_descriptor& descriptor)
      : line_(line), descriptor_(descriptor) {
    if ((descriptor.flags & SUPV_WAITS) != 0) pool_ = new Pool(kThreads);
  }

  void run() {
    while (auto message = line_.receive()) {
      std::visit([this](auto&& one) { take(std::forward<decltype(one)>(one)); },
                 std::move(*message));
    }
  }

 private:
  struct Known {
    std::shared_ptr<Instance> instance;
    std::shared_ptr<Lane> lane;
  };

  void take(Make make) {
    const std::uint64_t id = make.id;
    Known known{std::make_shared<Instance>(&descriptor_, std::move(make), &line_),
                Pool::make_lane()};
    known_[id] = known;
    perform(known.lane, [this, id, instance = known.instance] {
      Said said;
      said.id = id;
      said.reason = instance->begin();
      finish(id);
      line_.send(said);
    });
  }

  void take(const Drop& drop) {
    auto entry = known_.extract(drop.id);
    if (entry.empty()) return;
    Known known = std::move(entry.mapped());
    // Whoever holds it last destroys it: this, after the calls that were made before.
    perform(known.lane, [this, id = drop.id, instance = std::move(known.instance)]() mutable {
      instance.reset();
      finish(id);
    });
  }

  void take(const Ask& ask) { call(ask, nullptr); }
  void take(Reply reply) {
    const auto held = std::make_shared<const Reply>(std::move(reply));
    call(held->ask, held);
  }
  template <typename Other>
  void take(const Other&) {}

  void call(const Ask& ask, const std::shared_ptr<const Reply>& reply) {
    const auto found = known_.find(ask.id);
    if (found == known_.end()) return;
    perform(found->second.lane, [this, ask, reply, instance = found->second.instance] {
      Said said;
      said.id = ask.id;
      said.serial = ask.serial;
      const bool answered = instance->ask(ask, reply.get(), said);
      finish(ask.id);
      if (answered) line_.send(said);
    });
  }

  /// One call after the other, or on a thread.
  void perform(const std::shared_ptr<Lane>& lane, std::function<void()> call) {
    ++calls_;
    if (pool_ == nullptr) return call();
    pool_->add(lane, {std::move(call), nullptr});
    pool_->tick();
  }

  /// A call of the instance has returned. What it has left runs in nobody's name: it ends with us.
  void finish(std::uint64_t id) {
    if (!memory_is_left()) give_up(id, "it has used up the memory that it may have");
    if (--calls_ > 0) return;  // A child may be that of another call.
    const pid_t child = left_behind();
    if (child == 0) return;
    give_up(id, child > 0 ? fmt::format("it left a process behind, pid {}", child)
                          : "it left a process behind");
  }

  [[noreturn]] void give_up(std::uint64_t id, std::string why) {
    line_.send(Trouble{id, std::move(why)});
    ::_exit(1);
  }

  Line& line_;
  const supv_condition_descriptor& descriptor_;
  Pool* pool_ = nullptr;  // Never destroyed: threads may hang in it.
  std::atomic<int> calls_ = 0;
  std::unordered_map<std::uint64_t, Known> known_;
};

const supv_condition_descriptor* built_in(const PluginHostOptions& options) {
  for (const auto* one : options.catalog) {
    if (options.name == one->name) return one;
  }
  throw BadPlugin("there is no condition " + options.name);
}

}  // namespace

void run_plugin_host(const PluginHostOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  ::fcntl(options.channel_fd, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // A call that hangs would not see that nobody is there any more.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // A heap for each thread would be most of what a host occupies.
  ::mallopt(M_ARENA_MAX, 2);
  std::optional<Declaration> declaration;
  const supv_condition_descriptor* descriptor = nullptr;
  std::string failure;
  try {
    Fd file;
    if (!options.path.empty()) file = open_plugin(options.path);
    confine(options.limits);
    if (options.path.empty()) {
      descriptor = built_in(options);
    } else {
      declaration.emplace(load_plugin(fmt::format("/proc/self/fd/{}", file.get()), options.name));
      descriptor = &declaration->descriptor();
    }
  } catch (const std::exception& error) {
    failure = error.what();
  } catch (...) {
    failure = "it threw something while it was loaded";
  }
  const bool waits = descriptor != nullptr && (descriptor->flags & SUPV_WAITS) != 0;
  Line line(options.channel_fd, waits);
  const auto hello = line.receive();
  if (hello && std::holds_alternative<Hello>(*hello)) {
    line.send(std::get<Hello>(*hello));
    if (descriptor == nullptr) {
      line.send(Trouble{0, failure});
    } else {
      PluginHost(line, *descriptor).run();
    }
  }
  // If the plugin has closed the channel, the brain sees that, and tells it from an exit.
  while (::fcntl(options.channel_fd, F_GETFD) < 0) ::pause();
  ::_exit(descriptor == nullptr ? 1 : 0);
}

}  // namespace supv
