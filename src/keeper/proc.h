#pragma once

#include <cstddef>
#include <cstdint>

#include "keeper/wire.h"

/// Reading /proc without allocation. Every answer may be out of date when it arrives: a signal is
/// only sent through a pidfd that was opened before the question was asked.
namespace supv::proc {

struct Stat {
  char state = 0;  ///< 'Z', 'X': dead
  std::int32_t parent = 0;
  std::int32_t group = 0;
  std::int32_t session = 0;
  std::uint64_t start_time = 0;  ///< Clock ticks since boot (field 22).
  std::int32_t exit_code = 0;    ///< Field 52: as wait() tells it; see exit_status().
  bool dead() const { return state == 'Z' || state == 'X' || state == 'x'; }
};

/// False: there is no such process (or /proc is not for us).
bool read_stat(std::int32_t pid, Stat& stat);
/// The text of /proc/PID/stat, taken apart. False: it is none.
bool parse_stat(const char* text, std::size_t size, Stat& stat);

/// The hard limit RLIMIT_LOCKS of a process; UINT64_MAX: unlimited. False: no such process.
bool hard_locks(std::int32_t pid, std::uint64_t& limit);

/// Whether the process is in a version 2 cgroup whose path has `part` as whole components.
bool in_cgroup(std::int32_t pid, const char* part);

/// How a zombie that is not our child ended; how == 3 if that cannot be seen.
wire::Status zombie_status(std::int32_t pid, const Stat& stat);
/// What wait() returned, as a wire::Status.
wire::Status exit_status(std::int32_t raw);

/// Reads up to size-1 bytes of a file and ends them with NUL. Returns how many, or -1.
long read_small(int dir, const char* path, char* into, std::size_t size);

/// All entries of a directory whose names are decimal numbers: for /proc, its processes.
/// `visit(context, number)` returns false to stop.
using Visit = bool (*)(void* context, std::int32_t number);
void each_number(int dir, Visit visit, void* context);

/// All subdirectories (not "." and ".."). `visit(context, dir, name)`.
using VisitDir = void (*)(void* context, int dir, const char* name);
void each_directory(int dir, VisitDir visit, void* context);

}  // namespace supv::proc
