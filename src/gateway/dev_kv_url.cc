#include "gateway/dev_kv_url.h"

#include <algorithm>
#include <vector>

namespace supv {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
      if (low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

UrlParameters parse_url_query(std::string_view query) {
  UrlParameters parameters;
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const auto equals = std::min(one.find('='), one.size());
    const auto name = percent_decode(one.substr(0, equals), true);
    const auto value = percent_decode(one.substr(std::min(equals + 1, one.size())), true);
    if (name && value && !one.empty()) parameters.try_emplace(*name, *value);
  }
  return parameters;
}

std::string clean_url_path(std::string_view path) {
  std::vector<std::string_view> parts;
  for (std::string_view left = path; !left.empty();) {
    const auto end = std::min(left.find('/'), left.size());
    const std::string_view part = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!part.empty() && part != "." && part != "..") parts.push_back(part);
  }
  std::string out;
  for (const std::string_view part : parts) out += '/' + std::string(part);
  if (out.empty() || (!path.empty() && path.back() == '/')) out += '/';
  return out;
}

}  // namespace supv
