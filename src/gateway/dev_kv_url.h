#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace supv {

using UrlParameters = std::map<std::string, std::string, std::less<>>;

/// Empty when a percent sign is not followed by two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);
/// "a=1&b" decoded; of a name that is there twice the first counts, what cannot be decoded is
/// left out.
UrlParameters parse_url_query(std::string_view query);
/// As Go's HTTP router cleans a path: no doubled slashes, no dots; a slash at the end stays.
std::string clean_url_path(std::string_view path);

}  // namespace supv
