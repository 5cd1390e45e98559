#pragma once

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

namespace supv::host {

/// Jobs that are done one after another.
class Lane;

/// One call. Neither function throws.
struct Job {
  std::function<void()> run;     ///< On a thread of the pool.
  std::function<void()> refuse;  ///< In its place, when every thread hangs; null: it just waits.
};

/// A few threads for calls that may hang for ever. A call that takes its time is given up: its
/// thread is left to it, and others get another one. An idle pool sleeps.
class Pool {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    std::size_t threads = 64;              ///< All of them.
    std::size_t at_once = 4;               ///< Not slow, and kept when there is nothing to do.
    std::chrono::milliseconds slow{100};   ///< Running longer: others need not wait for it.
    std::chrono::milliseconds hung{5000};  ///< Running longer: it is not expected to come back.
  };
  explicit Pool(Limits limits) : limits_(limits) {}
  /// Never destroyed while a thread may run: the process that has it ends by _exit().
  ~Pool() = delete;

  static std::shared_ptr<Lane> make_lane();
  void add(const std::shared_ptr<Lane>& lane, Job job);
  /// Forgets the jobs of a lane that have not begun.
  void clear(Lane& lane);
  /// When tick() may have something to do; empty: not before the next add().
  std::optional<std::chrono::milliseconds> wake();
  /// Makes threads for jobs that wait behind slow ones; refuses jobs when all threads hang.
  void tick();
  /// Threads there are, idle ones included.
  std::size_t threads();

 private:
  struct Ready {
    std::shared_ptr<Lane> lane;
    Job job;
  };
  struct Worker {
    Pool* pool = nullptr;
    std::list<Worker>::iterator self;
    std::optional<Clock::time_point> since;  ///< Of the call it makes.
  };
  static void* work(void* worker);
  void serve(Worker& worker);
  bool hire();
  void staff(Clock::time_point now);
  std::deque<Ready> take_refused(Clock::time_point now);
  void next_of(const std::shared_ptr<Lane>& lane);

  const Limits limits_;
  std::mutex mutex_;  ///< Guards everything below, and the lanes.
  std::condition_variable ready_changed_;
  std::deque<Ready> ready_;
  std::list<Worker> workers_;
};

}  // namespace supv::host
