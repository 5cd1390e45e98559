#include "brain/http_calls.h"

#include <algorithm>

namespace supv {

namespace {

constexpr std::uint64_t kOurs = std::uint64_t{1} << 63;

}  // namespace

HttpCalls::Id HttpCalls::send(courier::Request request, Done done) {
  request.tag = ++last_ | kOurs;
  const auto id = static_cast<Id>(request.tag);
  CourierChannel* courier = courier_();
  if (courier == nullptr) {
    ready_.push_back({id, std::move(done), "the courier cannot be reached"});
  } else if (!courier->send(request)) {
    ready_.push_back({id, std::move(done), "the courier does not take the request"});
  } else {
    under_way_.emplace(request.tag, std::move(done));
  }
  return id;
}

HttpCalls::Id HttpCalls::refuse(std::string why, Done done) {
  const auto id = static_cast<Id>(++last_ | kOurs);
  ready_.push_back({id, std::move(done), std::move(why)});
  return id;
}

void HttpCalls::cancel(Id id) {
  under_way_.erase(static_cast<std::uint64_t>(id));
  std::erase_if(ready_, [id](const Ready& one) { return one.id == id; });
}

bool HttpCalls::hear(courier::Done& done) {
  if ((done.tag & kOurs) == 0) return false;
  const auto found = under_way_.find(done.tag);
  if (found == under_way_.end()) return true;  // Cancelled.
  const Done tell = std::move(found->second);
  under_way_.erase(found);
  tell({true, std::move(done)});
  return true;
}

void HttpCalls::lost() {
  for (auto& [tag, done] : under_way_) {
    ready_.push_back({static_cast<Id>(tag), std::move(done), "the courier died"});
  }
  under_way_.clear();
}

void HttpCalls::say_ready() {
  // One by one: what is told may cancel what is still to be told.
  for (std::size_t i = ready_.size(); i > 0 && !ready_.empty(); --i) {
    const Ready next = std::move(ready_.front());
    ready_.erase(ready_.begin());
    HttpAnswer answer;
    answer.carried = false;
    answer.done.error = next.error;
    next.done(std::move(answer));
  }
}

}  // namespace supv
