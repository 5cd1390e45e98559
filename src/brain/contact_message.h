#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "brain/commands.h"
#include "core/contact_spec.h"
#include "core/messages.h"
#include "core/notice_text.h"
#include "courier/wire.h"

namespace supv {

/// What is to be told, to whom, from where and when.
struct ContactMessage {
  const ContactSpec& contact;
  const std::vector<Notice>& notices;  ///< At least one.
  const NoticeText& text;
  std::string host;
  std::int64_t wall_ms = 0;
};

/// How it travels: exactly one of the three has something.
struct Dispatch {
  std::vector<courier::Request> requests;  ///< Told when all have gone well.
  std::optional<CommandRequest> command;
  std::vector<std::string> log_lines;  ///< Datagrams for `log_socket`.
  std::string log_socket;
  std::string error;  ///< Not empty: it cannot even be tried.
};

/// An option of a contact; empty when it is not written and has no default.
std::string_view option_of(const ContactSpec& contact, std::string_view name);
/// Everything that is known, as one JSON object: what webhooks and commands get.
std::string json_of(const ContactMessage& message);
/// A text as the inside of a JSON string; percent-encoded as in a form.
std::string json_escaped(std::string_view text);
std::string form_escaped(std::string_view text);
/// Whether something is wrong that was well (fired, flapping, a state that is not up).
bool is_bad(const Notice& notice);
/// How bad, from syslog's 2 (critical) to 6 (info): by the priority as people write it, else by
/// what it is.
int severity_of(const Notice& notice);

/// One for each family of kinds; `dispatch` chooses.
Dispatch mail(const ContactMessage& message);
Dispatch web_request(const ContactMessage& message);
Dispatch local_call(const ContactMessage& message);
Dispatch dispatch(const ContactMessage& message);

}  // namespace supv
