#include "brain/plugin_hosts.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace supv {

namespace {

std::string identity_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) < 0) return {};
  return fmt::format("{}:{}:{}:{}.{}", status.st_dev, status.st_ino, status.st_size,
                     status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

}  // namespace

PluginHosts::PluginHosts(Surroundings surroundings) : surroundings_(std::move(surroundings)) {
  // Above every number that an earlier brain can have used: none starts a thousand a second.
  timespec now{};
  check_sys(::clock_gettime(CLOCK_BOOTTIME, &now), "clock_gettime");
  generation_ = static_cast<std::uint64_t>(now.tv_sec) * 1000 +
                static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000 + 1;
}

void PluginHosts::set(const PluginsSpec& plugins) {
  const Confinement limits{plugins.user, plugins.memory};
  // What a watch that no file names any more still uses stays known.
  for (const auto* one : surroundings_.catalog) {
    if ((one->flags & SUPV_HOSTED) != 0)
      known_[one->name] = {one->name, "", "", one->flags, limits};
  }
  for (const PluginSpec& one : plugins.used)
    known_[one.name] = {one.name, one.path, identity_of(one.path), one.flags, limits};
  for (auto& [slot, host] : hosts_) {
    const auto found = known_.find(host->plugin().name);
    if (found != known_.end()) host->replace(found->second);
  }
}

std::unique_ptr<Judge> PluginHosts::make(const std::string& name, PluginInstance instance,
                                         std::string& error) {
  const auto known = known_.find(name);
  if (known == known_.end()) {
    error = "there is no condition " + name;
    return nullptr;
  }
  PluginHost* host = open(known->second, error);
  return host == nullptr ? nullptr : host->add(std::move(instance));
}

PluginHost* PluginHosts::open(const PluginStart& start, std::string& error) {
  for (auto& [slot, host] : hosts_) {
    if (host->plugin().name == start.name) return host.get();
  }
  for (std::uint32_t slot = kFirstSlot; slot < kSlotEnd; ++slot) {
    if (hosts_.contains(slot) || taken_.contains(slot)) continue;
    const PluginHost::Surroundings theirs{
        surroundings_.keeper,
        surroundings_.reactor,
        surroundings_.environment,
        surroundings_.now,
        surroundings_.warn,
        [this, name = start.name](const std::string& text) {
          surroundings_.print(fmt::format("plugin {}: {}", name, text));
        }};
    return hosts_.emplace(slot, std::make_unique<PluginHost>(theirs, start, slot, generation_))
        .first->second.get();
  }
  error = fmt::format("more than {} plugins", kSlotEnd - kFirstSlot);
  return nullptr;
}

void PluginHosts::forget(wire::Run run) {
  wire::Plain message{};
  message.kind = wire::Kind::forget;
  message.run = run;
  surroundings_.keeper->send(message);
  taken_.erase(wire::slot_of(run));
}

/// What an earlier brain has left is ended: nobody can speak to it any more.
bool PluginHosts::adopt(const wire::Slot& slot) {
  const std::uint32_t index = wire::slot_of(slot.run);
  if (index < kFirstSlot || index >= kSlotEnd) return false;
  const std::string_view memo(reinterpret_cast<const char*>(slot.memo),
                              std::min<std::size_t>(slot.memo_size, wire::kMaxMemo));
  taken_[index] = memo == kPluginMemo ? slot.run : 0;
  // A run of a watch, started by a supvd whose plugins had no slots.
  if (memo != kPluginMemo) return false;
  generation_ = std::max(generation_, slot.run >> 16);
  if (slot.phase == wire::Phase::gone || slot.phase == wire::Phase::failed) {
    forget(slot.run);
    return true;
  }
  wire::Stop message{};
  message.kind = wire::Kind::stop;
  message.run = slot.run;
  message.now = 1;
  surroundings_.keeper->send(message);
  return true;
}

bool PluginHosts::hear(const wire::News& news) {
  const std::uint32_t index = wire::slot_of(news.run);
  if (index < kFirstSlot || index >= kSlotEnd) return false;
  const auto taken = taken_.find(index);
  if (taken != taken_.end()) {
    if (taken->second != news.run) return false;
    const bool over = news.kind == wire::Kind::gone || news.kind == wire::Kind::start_failed;
    if (over) forget(news.run);
    return true;
  }
  const auto host = hosts_.find(index);
  if (host != hosts_.end()) host->second->hear(news);
  return true;
}

std::optional<Time> PluginHosts::deadline() const {
  std::optional<Time> first;
  for (const auto& [slot, host] : hosts_) {
    const auto next = host->deadline();
    if (next && (!first || *next < *first)) first = next;
  }
  return first;
}

void PluginHosts::tick(Time now) {
  for (auto& [slot, host] : hosts_) host->tick(now);
}

void PluginHosts::before_wait() {
  for (auto& [slot, host] : hosts_) host->before_wait();
}

void PluginHosts::finish() {
  for (auto& [slot, host] : hosts_) host->finish();
}

bool PluginHosts::finished() const {
  return std::all_of(hosts_.begin(), hosts_.end(),
                     [](const auto& entry) { return entry.second->finished(); });
}

}  // namespace supv
