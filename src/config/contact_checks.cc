#include "config/contact_checks.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/units.h"
#include "core/placeholders.h"

namespace supv {
namespace {

constexpr Duration kLeastTimeout{100};
constexpr Duration kMostTimeout{300'000};

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

/// HOST:PORT; the brackets of an IPv6 address stay.
bool is_server(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto port = parse_unsigned(text.substr(colon + 1));
  const std::string_view host = text.substr(0, colon);
  const bool bracketed = host.front() == '[' && host.back() == ']';
  return port && *port >= 1 && *port <= 65535 && !has_control(host) &&
         host.find_first_of(" /@?#") == std::string_view::npos &&
         (bracketed || host.find(':') == std::string_view::npos);
}

bool is_url(std::string_view text) {
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos || has_control(text)) return false;
  const std::string_view name = text.substr(0, scheme);
  const std::string_view rest = text.substr(scheme + 3);
  return (name == "http" || name == "https") && !rest.empty() && rest.front() != '/' &&
         rest.find(' ') == std::string_view::npos;
}

bool is_mail_address(std::string_view text) {
  return !text.empty() && !has_control(text) && text.find_first_of(" <>,;\"") == std::string::npos;
}

std::string joined(const std::vector<std::string>& texts, char separator) {
  std::string all;
  for (const std::string& text : texts) {
    if (!all.empty()) all += separator;
    all += text;
  }
  return all;
}

std::string read_message(Reader& reader, const Node& node) {
  std::string text;
  reader.text(node, text);
  const auto wrong = unknown_placeholder(text);
  if (!wrong) return text;
  reader.unknown(node, fmt::format("there is no '%{{{}}}'", *wrong), *wrong, placeholder_names());
  return {};
}

std::string read_headers(Reader& reader, const Node& node) {
  std::vector<std::pair<std::string, std::string>> map;
  reader.text_map(node, map);
  std::string lines;
  for (const auto& [name, value] : map) {
    const bool token = name.find_first_of(" :()<>@,;\\\"/[]?{}\t") == std::string::npos;
    if (!token || has_control(name) || has_control(value)) {
      reader.error(node, fmt::format("'{}' is not a header of HTTP", name));
      continue;
    }
    if (!lines.empty()) lines += '\n';
    lines += name + ": " + value;
  }
  return lines;
}

std::string read_timeout(Reader& reader, const Node& node) {
  Duration timeout{0};
  reader.duration(node, timeout, kLeastTimeout);
  if (timeout > kMostTimeout) {
    reader.error(node, fmt::format("{} is too long: at most {}", format_duration(timeout),
                                   format_duration(kMostTimeout)));
  }
  return std::to_string(timeout.count());
}

std::string read_texts(Reader& reader, const Node& node) {
  std::vector<std::string> texts;
  reader.texts(node, texts);
  for (const std::string& text : texts) {
    if (has_control(text)) reader.error(node, "control characters cannot be part of this");
  }
  return joined(texts, '\n');
}

std::string read_text(Reader& reader, const Node& node) {
  std::string text;
  reader.text(node, text);
  if (has_control(text)) reader.error(node, "control characters cannot be part of this");
  return text;
}

void check_mail(Reader& reader, const Node& contact, const ContactOptions& written) {
  const auto at = [&](std::string_view name) {
    const auto found = written.find(name);
    return found == written.end() ? nullptr : found->second;
  };
  const Node* secret = at("password") != nullptr ? at("password") : at("password_file");
  if (at("password") != nullptr && at("password_file") != nullptr)
    reader.error(*at("password_file"), "'password' and 'password_file' exclude each other");
  if (at("user") != nullptr && secret == nullptr)
    reader.error(*at("user"), "'user' needs 'password' or 'password_file'");
  if (at("user") == nullptr && secret != nullptr) reader.error(*secret, "a password needs 'user'");
  const bool by_program = at("method") != nullptr && at("method")->text == "sendmail";
  const Node* meant_for_smtp = at("server") != nullptr ? at("server") : at("user");
  if (by_program && meant_for_smtp != nullptr)
    reader.error(*meant_for_smtp, "this means nothing to method sendmail");
  if (at("sendmail") != nullptr && !by_program)
    reader.error(*at("sendmail"), "this needs 'method: sendmail'");
  const bool open = at("tls") == nullptr || at("tls")->text == "none" || at("tls")->text == "try";
  if (at("user") != nullptr && open && !by_program)
    reader.warning(contact, "the password may travel unencrypted",
                   "write 'tls: require', or 'tls: smtps'");
}

/// One option by its meaning, which its name carries in every kind.
void check_value(Reader& reader, const Node& node, std::string_view name,
                 const std::string& value) {
  const auto is = [name](auto... names) { return ((name == names) || ...); };
  if (is("url", "proxy") && !is_url(value)) {
    reader.error(node, "this is not an address of HTTP", "write it like https://HOST/PATH");
  } else if (is("server") && !is_server(value)) {
    reader.error(node, "this is not HOST:PORT");
  } else if (is("ca_file", "password_file", "sendmail", "socket") && !value.starts_with('/')) {
    reader.error(node, "this must be an absolute path",
                 fmt::format("write ${{file.dir}}/{} for one beside this file", value));
  } else if (is("from") && !is_mail_address(value)) {
    reader.error(node, fmt::format("'{}' is not a mail address", value));
  } else if (is("to")) {
    std::string_view rest = value;
    while (!rest.empty()) {
      const std::string_view one = rest.substr(0, rest.find('\n'));
      if (!is_mail_address(one)) reader.error(node, fmt::format("'{}' is not a mail address", one));
      rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    }
  }
}

}  // namespace

std::string default_of(const Key& key) {
  if (key.type != KeyType::duration) return std::string(key.fallback);
  return std::to_string(parse_duration(key.fallback).value_or(Duration{0}).count());
}

std::string read_contact_option(Reader& reader, const Key& key, const Node& node) {
  const KeyType type = key.type;
  if (type == KeyType::message) return read_message(reader, node);
  if (type == KeyType::text_map) return read_headers(reader, node);
  if (type == KeyType::duration) return read_timeout(reader, node);
  if (type == KeyType::texts) return read_texts(reader, node);
  if (type == KeyType::boolean) {
    bool value = false;
    reader.boolean(node, value);
    return value ? "true" : "false";
  }
  if (type == KeyType::integer) {
    std::uint32_t value = 0;
    reader.integer(node, value, 0, 255);
    return std::to_string(value);
  }
  if (type == KeyType::choice) {
    const auto chosen = reader.choice(node, key.choices);
    return chosen ? std::string(split_choices(key.choices)[*chosen]) : "";
  }
  if (type == KeyType::command) {
    std::optional<Command> command;
    reader.command(node, command);
    // No argument contains a NUL.
    return command ? joined(command->argv, '\0') : "";
  }
  return read_text(reader, node);
}

void check_contact(Reader& reader, const Node& contact, const ContactOptions& written,
                   const ContactSpec& spec) {
  for (const auto& [name, value] : spec.options) {
    const auto node = written.find(name);
    if (node == written.end() || node->second == nullptr || value.empty()) continue;
    check_value(reader, *node->second, name, value);
  }
  if (spec.kind == "email") check_mail(reader, contact, written);
}

}  // namespace supv
