#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "scribe/log_file.h"
#include "scribe/takeover.h"
#include "scribe/wire.h"

namespace supv::scribe {

/// Paces of a scribe; tests use shorter ones.
struct Paces {
  std::chrono::milliseconds retry{1000};    ///< Between attempts on a log that takes nothing.
  std::chrono::milliseconds report{60000};  ///< Between two `lost` about the same FIFO.
  std::chrono::milliseconds linger{1000};  ///< After the channel's end, before looking for writers.
};

/// The scribe's loop. One thread, no timer while every log takes what it is given.
class Scribe {
 public:
  Scribe(Fd channel, Paces paces);
  /// Returns when it is no longer needed.
  void run();

 private:
  using Clock = std::chrono::steady_clock;
  /// One FIFO's share of a turn, so that a flood in one does not hold up the others.
  static constexpr std::size_t kTurn = std::size_t{1} << 20;

  /// The unit of ticks(): 32 bits of them last 13 years.
  static constexpr std::chrono::milliseconds kTick{100};

  /// One FIFO. Kept small: there are two for each watch at most.
  struct Stream {
    std::uint64_t id = 0;
    std::uint64_t lost = 0;  ///< Bytes not yet reported.
    Fd fifo;
    Fd writer;                    ///< The same FIFO's other end; see hold_open().
    std::uint32_t log = 0;        ///< Index in logs_.
    std::uint32_t report_at = 0;  ///< Next report, in ticks().
    std::int16_t error = 0;
    bool blocked = false;
    bool unreported = false;
    bool writers = true;
    bool leaving = false;
  };

  Stream* find(std::uint64_t id);
  void on_channel();
  void on_message(const void* message, std::size_t size);
  void follow(const Follow& message);
  void add(const Follow& message, Fd fifo);
  void hold_open(Stream& stream) const;
  bool unchanged(const Stream& stream, const Follow& message, int fifo) const;
  void remove(std::uint64_t id);
  std::uint32_t log_for(const std::string& path, const LogOwner& owner);
  void drain(std::uint64_t id, std::size_t budget);
  void discard(Stream& stream);
  void drain_all(std::size_t budget);
  void retry();
  void report(Stream& stream);
  bool tell(std::uint64_t id, int error, std::uint64_t bytes);
  std::uint32_t ticks() const;  ///< Since this scribe began.
  int timeout() const;
  bool finished() const;
  void turn();

  Paces paces_;
  Fd epoll_;
  Fd channel_;
  Fd signals_;
  std::vector<Stream> streams_;  ///< Sorted by id.
  std::vector<std::unique_ptr<LogFile>> logs_;
  std::vector<std::uint64_t> busy_;  ///< Ids whose last drain used up its budget.
  std::optional<Takeover> sole_;
  Scratch scratch_;
  Clock::time_point born_ = Clock::now();
  Clock::time_point retry_at_{};
  std::optional<Clock::time_point> alone_since_;
  bool troubled_ = false;  ///< Some stream is blocked or has something to report.
  bool terminated_ = false;
};

}  // namespace supv::scribe
