#include "plugin/check_sheet.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "base/text.h"

namespace supv {
namespace {

std::int64_t monotonic_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

const char* spot_name(Spot spot) {
  switch (spot) {
    case Spot::nothing:
      return "the check itself";
    case Spot::constructors:
      return "being loaded (a constructor)";
    case Spot::descriptor:
      return "its descriptor being read";
    case Spot::create:
      return "create";
    case Spot::tick:
      return "on_event(SUPV_TICK)";
    case Spot::ended:
      return "on_event(SUPV_ENDED)";
    case Spot::reply:
      return "on_event(SUPV_REPLY)";
    case Spot::unknown_event:
      return "on_event of a kind that it does not know";
    case Spot::verdict:
      return "its verdict being read";
    case Spot::destroy:
      return "destroy";
  }
  return "something";
}

}  // namespace

Sheet::Sheet() {
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  shared_ = new (memory) Shared{};
  shared_->beat_ns = monotonic_ns();
}

Sheet::~Sheet() { ::munmap(shared_, sizeof *shared_); }

void Sheet::enter(const char* stage) {
  std::strncpy(shared_->stage, stage, sizeof shared_->stage - 1);
  at(Spot::nothing);
}

// A line each: level, stage, text. No allocation: memory may be short.
void Sheet::note(Finding::Level level, std::string_view text) {
  const std::uint32_t used = shared_->noted;
  const std::size_t head = 1 + std::strlen(shared_->stage) + 1;
  text = text.substr(0, 2048);
  if (used + head + text.size() + 1 > kRoom) return;
  char* to = shared_->notes + used;
  *to++ = static_cast<char>('0' + static_cast<int>(level));
  to = std::copy_n(shared_->stage, head - 2, to);
  *to++ = '\t';
  to = std::copy(text.begin(), text.end(), to);
  *to++ = '\n';
  shared_->noted = static_cast<std::uint32_t>(to - shared_->notes);
}

void Sheet::declare(std::string_view packed) {
  if (packed.size() > sizeof shared_->declaration) return;
  std::copy(packed.begin(), packed.end(), shared_->declaration);
  shared_->declared = static_cast<std::uint32_t>(packed.size());
}

void Sheet::at(Spot spot, std::uint32_t number) {
  shared_->number = number;
  shared_->spot = spot;
  shared_->beat_ns = monotonic_ns();
}

void Sheet::finish() { shared_->finished = true; }

std::chrono::nanoseconds Sheet::since_last_beat() const {
  return std::chrono::nanoseconds(monotonic_ns() - shared_->beat_ns);
}

std::string Sheet::stage() const {
  return printable(std::string_view(shared_->stage, ::strnlen(shared_->stage, 16)));
}

std::string Sheet::spot() const {
  const std::uint32_t number = shared_->number;
  const std::string name = spot_name(shared_->spot);
  return number == 0 ? name : fmt::format("{}, call {}", name, number);
}

std::vector<Finding> Sheet::findings() const {
  std::vector<Finding> all;
  std::string_view left(shared_->notes, std::min<std::size_t>(shared_->noted, kRoom));
  while (!left.empty()) {
    const std::size_t end = std::min(left.find('\n'), left.size());
    const std::string_view line = left.substr(0, end);
    const std::size_t tab = line.find('\t');
    if (tab != std::string_view::npos && tab > 0 && line[0] >= '0' && line[0] <= '2')
      all.push_back({static_cast<Finding::Level>(line[0] - '0'), printable(line.substr(1, tab - 1)),
                     printable(line.substr(tab + 1))});
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return all;
}

std::string Sheet::declaration() const {
  const std::size_t size = std::min<std::size_t>(shared_->declared, sizeof shared_->declaration);
  return {shared_->declaration, size};
}

}  // namespace supv
