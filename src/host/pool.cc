#include "host/pool.h"

#include <algorithm>
#include <utility>

namespace supv::host {

class Lane {
 public:
  bool busy = false;        ///< One of its jobs is ready or running ...
  std::deque<Job> waiting;  ///< ... and these come after it.
};

namespace {

/// Enough for the resolver and for a TLS handshake; untouched pages cost nothing.
constexpr std::size_t kStack = std::size_t{256} * 1024;
constexpr std::chrono::milliseconds kBeat{50};

}  // namespace

std::shared_ptr<Lane> Pool::make_lane() { return std::make_shared<Lane>(); }

void Pool::add(const std::shared_ptr<Lane>& lane, Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (lane->busy) {
      lane->waiting.push_back(std::move(job));
      return;
    }
    lane->busy = true;
    ready_.push_back({lane, std::move(job)});
    staff(Clock::now());
  }
  ready_changed_.notify_one();
}

void Pool::clear(Lane& lane) {
  std::deque<Job> forgotten;  // Destroyed without the lock.
  const std::lock_guard lock(mutex_);
  forgotten.swap(lane.waiting);
}

std::optional<std::chrono::milliseconds> Pool::wake() {
  const std::lock_guard lock(mutex_);
  if (ready_.empty()) return std::nullopt;
  return kBeat;
}

std::size_t Pool::threads() {
  const std::lock_guard lock(mutex_);
  return workers_.size();
}

void Pool::tick() {
  std::deque<Ready> refused;
  {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    staff(now);
    refused = take_refused(now);
  }
  for (Ready& one : refused) one.job.refuse();
}

/// Locked. Makes threads while jobs are ready that no idle one will take soon.
void Pool::staff(Clock::time_point now) {
  std::size_t idle = 0;
  std::size_t quick = 0;
  for (const Worker& worker : workers_) {
    if (!worker.since) ++idle;
    if (!worker.since || now - *worker.since < limits_.slow) ++quick;
  }
  while (idle < ready_.size() && quick < limits_.at_once && workers_.size() < limits_.threads) {
    if (!hire()) return;
    ++idle;
    ++quick;
  }
}

/// Locked. Takes out what is ready if no thread is expected to come back.
std::deque<Pool::Ready> Pool::take_refused(Clock::time_point now) {
  std::deque<Ready> refused;
  const bool all_hang =
      std::all_of(workers_.begin(), workers_.end(), [this, now](const Worker& worker) {
        return worker.since && now - *worker.since >= limits_.hung;
      });
  if (!all_hang) return refused;
  std::deque<Ready> kept;
  for (Ready& one : std::exchange(ready_, {})) {
    (one.job.refuse ? refused : kept).push_back(std::move(one));
  }
  ready_ = std::move(kept);
  for (const Ready& one : refused) next_of(one.lane);
  return refused;
}

/// Locked. The job of this lane is over.
void Pool::next_of(const std::shared_ptr<Lane>& lane) {
  lane->busy = !lane->waiting.empty();
  if (!lane->busy) return;
  ready_.push_back({lane, std::move(lane->waiting.front())});
  lane->waiting.pop_front();
}

/// Locked. False when the system gives no more threads.
bool Pool::hire() {
  workers_.emplace_back();
  Worker& worker = workers_.back();
  worker.pool = this;
  worker.self = std::prev(workers_.end());
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStack);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const bool made = ::pthread_create(&thread, &attributes, work, &worker) == 0;
  ::pthread_attr_destroy(&attributes);
  if (!made) workers_.pop_back();
  return made;
}

void* Pool::work(void* worker) {
  auto* self = static_cast<Worker*>(worker);
  self->pool->serve(*self);
  return nullptr;
}

void Pool::serve(Worker& worker) {
  std::unique_lock lock(mutex_);
  for (;;) {
    while (ready_.empty()) {
      const auto idle = static_cast<std::size_t>(std::count_if(
          workers_.begin(), workers_.end(), [](const Worker& one) { return !one.since; }));
      if (idle > limits_.at_once) {
        workers_.erase(worker.self);
        return;
      }
      ready_changed_.wait(lock);
    }
    Ready next = std::move(ready_.front());
    ready_.pop_front();
    worker.since = Clock::now();
    lock.unlock();
    next.job.run();
    next.job = {};  // What it holds is destroyed on this thread, and without the lock.
    lock.lock();
    worker.since.reset();
    next_of(next.lane);
  }
}

}  // namespace supv::host
