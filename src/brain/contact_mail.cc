// How a mail is written.
#include <fmt/format.h>
#include <time.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "brain/contact_message.h"

namespace supv {
namespace {

/// Longer subjects are cut; no header line may have 998 characters.
constexpr std::size_t kMaxSubject = 300;

/// One line without control characters: nothing in it can begin another header.
std::string on_one_line(std::string_view text, std::size_t most) {
  std::string line;
  for (const char c : text.substr(0, most)) {
    line += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? ' ' : c;
  }
  return line;
}

bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

std::string hex(char c) { return fmt::format("={:02X}", static_cast<unsigned char>(c)); }

/// A header's text as RFC 2047 wants it; words are cut between characters, not inside.
std::string header_text(std::string_view text, std::size_t most) {
  const std::string line = on_one_line(text, most);
  if (is_ascii(line)) return line;
  constexpr std::size_t kWord = 45;
  std::string result;
  std::string word;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool continues = (static_cast<unsigned char>(c) & 0xc0) == 0x80;
    if (!continues && word.size() >= kWord) {
      result += (result.empty() ? "=?utf-8?Q?" : "\r\n =?utf-8?Q?") + word + "?=";
      word.clear();
    }
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    word += plain ? std::string(1, c) : c == ' ' ? "_" : hex(c);
  }
  return result + (result.empty() ? "=?utf-8?Q?" : "\r\n =?utf-8?Q?") + word + "?=";
}

/// RFC 2045 quoted-printable, lines ended by CRLF.
std::string quoted_printable(std::string_view text) {
  constexpr std::size_t kLine = 72;
  std::string result;
  std::size_t column = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      result += "\r\n";
      column = 0;
      continue;
    }
    const bool at_end = i + 1 == text.size() || text[i + 1] == '\n';
    const bool plain = (c > ' ' && c <= '~' && c != '=') || (c == ' ' && !at_end);
    const std::string piece = plain ? std::string(1, c) : hex(c);
    if (column + piece.size() > kLine) {
      result += "=\r\n";
      column = 0;
    }
    result += piece;
    column += piece.size();
  }
  return result + "\r\n";
}

std::string mail_date(std::int64_t wall_ms) {
  const time_t seconds = wall_ms / 1000;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  // The C locale is the daemon's: names are English.
  const std::size_t size = ::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &parts);
  return std::string(text, size);
}

std::vector<std::string> recipients_of(const ContactSpec& contact) {
  std::vector<std::string> recipients;
  std::string_view rest = option_of(contact, "to");
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find('\n'));
    recipients.emplace_back(one);
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
  }
  return recipients;
}

std::string everything(const ContactMessage& message) {
  std::string text(message.text.value("message"));
  text += "\n\n";
  for (const char* name :
       {"watch", "state", "action", "condition", "host", "time", "priority", "category"}) {
    const std::string_view value = message.text.value(name);
    if (!value.empty()) text += fmt::format("{:<10} {}\n", fmt::format("{}:", name), value);
  }
  return text;
}

std::string mail_text(const ContactMessage& message, const std::string& from) {
  const ContactSpec& contact = message.contact;
  const auto as_it_is = [](std::string_view value) { return std::string(value); };
  const auto in_subject = [&](std::string_view value) {
    // Of a digest the subject says how many there are, not every line.
    return std::string(value == message.text.value("message") ? message.text.subject() : value);
  };
  const std::string subject = message.text.fill(option_of(contact, "subject"), in_subject);
  const std::string_view pattern = option_of(contact, "body");
  const std::string body =
      pattern.empty() ? everything(message) : message.text.fill(pattern, as_it_is);
  const Digest digest = keyed_hash({static_cast<std::uint64_t>(message.wall_ms), 0},
                                   contact.name + message.host + body);
  std::string text = "Date: " + mail_date(message.wall_ms) + "\r\n";
  text +=
      "From: " + header_text(option_of(contact, "from_name"), kMaxSubject) + " <" + from + ">\r\n";
  text += "To: ";
  for (const std::string& to : recipients_of(contact)) {
    text += (text.ends_with("To: ") ? "" : ",\r\n ") + on_one_line(to, kMaxSubject);
  }
  text += "\r\nSubject: " + header_text(subject, kMaxSubject) + "\r\n";
  text += "Message-ID: <" + to_hex(digest) + "@" + on_one_line(message.host, 64) + ">\r\n";
  text += "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n";
  text += "Content-Type: text/plain; charset=utf-8\r\n";
  text += "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
  return text + quoted_printable(body);
}

/// The password, or why there is none.
std::string read_password(const ContactSpec& contact, std::string& error) {
  const std::string file(option_of(contact, "password_file"));
  if (file.empty()) return std::string(option_of(contact, "password"));
  std::ifstream in(file);
  std::string line;
  if (!std::getline(in, line)) error = "cannot read " + printable(file);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return line;
}

CommandRequest by_program(const ContactMessage& message, const std::string& from,
                          std::string text) {
  CommandRequest request;
  request.command.argv = {std::string(option_of(message.contact, "sendmail")), "-i", "-f", from,
                          "--"};
  for (std::string& to : recipients_of(message.contact)) {
    request.command.argv.push_back(std::move(to));
  }
  // Programs of a mail server take the lines of this system.
  std::erase(text, '\r');
  request.input = std::move(text);
  request.timeout = Duration(parse_unsigned(option_of(message.contact, "timeout")).value_or(10000));
  return request;
}

}  // namespace

Dispatch mail(const ContactMessage& message) {
  using Tls = courier::Envelope::Tls;
  const ContactSpec& contact = message.contact;
  Dispatch dispatch;
  std::string from(option_of(contact, "from"));
  if (from.empty()) from = "supv@" + message.host;
  if (option_of(contact, "method") == "sendmail") {
    dispatch.command = by_program(message, from, mail_text(message, from));
    return dispatch;
  }
  courier::Request request;
  request.method = courier::Method::mail;
  const std::string_view tls = option_of(contact, "tls");
  const std::string_view domain = option_of(contact, "domain");
  request.url = fmt::format("{}://{}/{}", tls == "smtps" ? "smtps" : "smtp",
                            option_of(contact, "server"), domain.empty() ? message.host : domain);
  request.envelope.from = from;
  request.envelope.recipients = recipients_of(contact);
  request.envelope.user = option_of(contact, "user");
  request.envelope.password = read_password(contact, dispatch.error);
  request.envelope.tls = tls == "require" ? Tls::require : tls == "try" ? Tls::attempt : Tls::none;
  request.connection.ca_file = option_of(contact, "ca_file");
  request.connection.insecure = option_of(contact, "insecure") == "true";
  request.body = mail_text(message, from);
  dispatch.requests.push_back(std::move(request));
  return dispatch;
}

}  // namespace supv
