#include "brain/deliveries.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <utility>

#include "base/fd.h"
#include "base/text.h"
#include "base/units.h"

namespace supv {
namespace {

constexpr std::size_t kMaxError = 200;

/// The courier's own answer in the words of a contact. What a server writes into its answer may
/// repeat a secret of the request, so only its number is shown.
ev::Delivered answer_of(const HttpAnswer& http, courier::Method method) {
  ev::Delivered answer;
  const courier::Done& done = http.done;
  const bool web = method != courier::Method::mail && method != courier::Method::datagram;
  if (!http.carried || !done.error.empty()) {
    answer.error = done.error.empty() ? "no answer" : done.error;
  } else if (!web || (done.status >= 200 && done.status < 300)) {
    answer.good = true;
  } else {
    answer.error = fmt::format("the server answers {}", done.status);
    answer.again = done.status == 408 || done.status == 429 || done.status >= 500;
  }
  return answer;
}

ev::Delivered answer_of(const CommandResult& result) {
  ev::Delivered answer;
  const bool left = result.status.how == ExitStatus::How::code && result.status.value == 0;
  if (!result.error.empty()) {
    answer.error = result.error;
  } else if (result.timed_out) {
    answer.error = "the command did not end in time";
  } else if (left) {
    answer.good = true;
  } else {
    const std::string said = result.errors.substr(0, result.errors.find('\n'));
    answer.error = fmt::format("{}{}{}", describe(result.status), said.empty() ? "" : ": ",
                               printable(said).substr(0, kMaxError));
  }
  return answer;
}

}  // namespace

std::string machine_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "localhost";
}

Notice test_notice(std::int64_t wall_ms) {
  Notice notice;
  notice.kind = Notice::Kind::state;
  notice.source = "test";
  notice.text = "this is a test of supv";
  notice.wall_ms = wall_ms;
  return notice;
}

void Deliveries::set(const std::vector<ContactSpec>& contacts) {
  contacts_.clear();
  for (const ContactSpec& contact : contacts) contacts_[contact.name] = contact;
}

void Deliveries::deliver(const fx::Deliver& deliver, Done done) {
  const auto found = contacts_.find(deliver.contact);
  ev::Delivered failed;
  failed.again = false;
  if (found == contacts_.end() || deliver.notices.empty()) {
    failed.error = "there is no such contact";
    return done(std::move(failed));
  }
  const ContactSpec& contact = found->second;
  const NoticeText text(deliver.notices, around_.host);
  Dispatch dispatched =
      dispatch({contact, deliver.notices, text, around_.host, around_.now().wall_ms});
  if (!dispatched.error.empty()) {
    failed.error = std::move(dispatched.error);
    failed.again = true;
    return done(std::move(failed));
  }
  if (dispatched.command) return run(std::move(*dispatched.command), std::move(done));
  if (!dispatched.log_lines.empty()) return done(log(dispatched.log_socket, dispatched.log_lines));
  const auto timeout = parse_unsigned(option_of(contact, "timeout")).value_or(10000);
  send(std::move(dispatched.requests), static_cast<std::uint32_t>(timeout), std::move(done));
}

void Deliveries::send(std::vector<courier::Request> requests, std::uint32_t timeout_ms, Done done) {
  auto joint = std::make_shared<Joint>();
  joint->done = std::move(done);
  joint->left = requests.size();
  joint->answer.good = true;
  for (courier::Request& request : requests) {
    request.deadline_ms = timeout_ms;
    request.connect_ms = timeout_ms;
    const courier::Method method = request.method;
    around_.http->send(std::move(request), [joint, method](const HttpAnswer& http) {
      ev::Delivered one = answer_of(http, method);
      if (!one.good && joint->answer.good) joint->answer = std::move(one);
      if (--joint->left == 0) joint->done(std::move(joint->answer));
    });
  }
}

void Deliveries::run(CommandRequest request, Done done) {
  around_.commands->run(
      around_.now().time, std::move(request),
      [done = std::move(done)](const CommandResult& result) { done(answer_of(result)); });
}

ev::Delivered Deliveries::log(const std::string& socket, const std::vector<std::string>& lines) {
  ev::Delivered answer;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) {
    answer.error = "the path of the socket is too long";
    answer.again = false;
    return answer;
  }
  std::memcpy(address.sun_path, socket.data(), socket.size());
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  bool good = fd && ::connect(fd.get(), generic, sizeof address) == 0;
  for (const std::string& line : lines) {
    good = good && ::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL) >= 0;
  }
  answer.good = good;
  if (!good) answer.error = fmt::format("{}: {}", socket, std::generic_category().message(errno));
  return answer;
}

}  // namespace supv
