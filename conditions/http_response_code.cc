#include <regex.h>

#include <algorithm>
#include <supv/condition.hpp>

namespace {

using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"url", SUPV_TEXT, nullptr, "What to ask for, http:// or https://; this or `host`.", 0,
     nullptr},
    {"host", SUPV_TEXT, nullptr, "Whom to ask, together with `port`, `path` and `ssl`.", 0,
     nullptr},
    {"port", SUPV_INTEGER, nullptr, "Port of `host`: 80, or 443 with `ssl`; 443 means `ssl`.", 0,
     nullptr},
    {"path", SUPV_TEXT, "/", "Path at `host`.", 0, nullptr},
    {"ssl", SUPV_BOOLEAN, "false", "Speaks TLS with `host`.", 0, nullptr},
    {"code_is", SUPV_LIST, nullptr,
     "True when the answer has one of these codes: 200, 5xx. This or `code_is_not`. No answer is "
     "none of them.",
     0, nullptr},
    {"code_is_not", SUPV_LIST, nullptr,
     "True when the answer has another code, or when there is no answer (refused, reset, timed "
     "out).",
     0, nullptr},
    {"body_match", SUPV_TEXT, nullptr,
     "POSIX extended regular expression. An answer whose first 64 KiB do not match counts as one "
     "with another code.",
     0, nullptr},
    {"method", SUPV_CHOICE, "GET", "Of the request.", 0, "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS"},
    {"headers", SUPV_LIST, nullptr, "Of the request, each \"Name: value\".", 0, nullptr},
    {"body", SUPV_TEXT, nullptr, "Of the request.", 0, nullptr},
    {"redirects", SUPV_INTEGER, "0", "So many are followed; 0: a redirect is the answer.", 0,
     nullptr},
    {"ca_file", SUPV_TEXT, nullptr, "Certificates (PEM) to trust in place of the system's.", 0,
     nullptr},
    {"client_cert", SUPV_TEXT, nullptr, "Our own certificate (PEM).", 0, nullptr},
    {"client_key", SUPV_TEXT, nullptr, "Its key (PEM).", 0, nullptr},
    {"insecure", SUPV_BOOLEAN, "false", "Does not verify the server's certificate.", 0, nullptr},
    {"unix_socket", SUPV_TEXT, nullptr, "A socket to connect to in place of the host.", 0, nullptr},
};

constexpr std::size_t kSearched = std::size_t{64} * 1024;
constexpr int kMaxRedirects = 20;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

/// "200", or "5xx" for any code that begins so.
bool is_code(const std::string& text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() != 3 || text[0] < '1' || text[0] > '5') return false;
  return text.compare(1, 2, "xx") == 0 || (digit(text[1]) && digit(text[2]));
}

/// A compiled regular expression.
class Pattern {
 public:
  explicit Pattern(const std::string& text) {
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
      if (text[i] != '\\') continue;
      // They can take for ever.
      if (text[i + 1] >= '1' && text[i + 1] <= '9') {
        throw std::invalid_argument("body_match: back-references are not supported");
      }
      ++i;
    }
    const int error = ::regcomp(&compiled_, text.c_str(), REG_EXTENDED | REG_NOSUB);
    if (error == 0) return;
    char why[128];
    ::regerror(error, &compiled_, why, sizeof why);
    throw std::invalid_argument("body_match: " + std::string(why) + ": '" + text + "'");
  }
  ~Pattern() { ::regfree(&compiled_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  bool matches(const char* text, std::size_t size) const {
    // A NUL would end the search.
    std::string searched(text, std::min(size, kSearched));
    std::replace(searched.begin(), searched.end(), '\0', ' ');
    return ::regexec(&compiled_, searched.c_str(), 0, nullptr, 0) == 0;
  }

 private:
  regex_t compiled_{};
};

class HttpResponseCode : public supv::sdk::Condition {
 public:
  explicit HttpResponseCode(const supv::sdk::Host& host)
      : host_(host), url_(make_url(host)), redirects_(static_cast<int>(host.number("redirects"))) {
    if (host.has("code_is") == host.has("code_is_not")) {
      throw std::invalid_argument("exactly one of code_is and code_is_not is needed");
    }
    wanted_ = host.has("code_is");
    const char* list = wanted_ ? "code_is" : "code_is_not";
    codes_ = lines_of(host.text(list));
    if (codes_.empty()) throw std::invalid_argument(std::string(list) + ": no code is given");
    for (const std::string& code : codes_) {
      if (!is_code(code)) {
        throw std::invalid_argument(std::string(list) + ": no code of HTTP: '" + code + "'");
      }
    }
    if (redirects_ < 0 || redirects_ > kMaxRedirects) {
      throw std::invalid_argument("redirects: not from 0 to 20: '" + host.text("redirects") + "'");
    }
    for (const std::string& header : lines_of(host.text("headers"))) {
      const std::size_t colon = header.find(':');
      if (colon == 0 || colon == std::string::npos) {
        throw std::invalid_argument("headers: not \"Name: value\": '" + header + "'");
      }
    }
    if (host.has("client_key") && !host.has("client_cert")) {
      throw std::invalid_argument("client_key needs client_cert");
    }
    if (host.has("body_match")) match_ = std::make_unique<Pattern>(host.text("body_match"));
  }

  Verdict poll(const supv_event&) override {
    const std::string method = host_.text("method");
    const std::string headers = host_.text("headers");
    const std::string body = host_.text("body");
    const std::string socket = host_.text("unix_socket");
    const std::string ca_file = host_.text("ca_file");
    const std::string client_cert = host_.text("client_cert");
    const std::string client_key = host_.text("client_key");
    supv_http_request request{};
    request.method = method.c_str();
    request.url = url_.c_str();
    request.headers = headers.c_str();
    request.body = body.c_str();
    request.unix_socket = socket.c_str();
    request.ca_file = ca_file.c_str();
    request.client_cert = client_cert.c_str();
    request.client_key = client_key.c_str();
    request.insecure = host_.boolean("insecure") ? 1 : 0;
    request.redirects = redirects_;
    if (!host_.http(request)) return supv::sdk::unknown("the request cannot be sent");
    return supv::sdk::pending();
  }

  Verdict answered(const supv_reply& reply) override {
    if (reply.error != nullptr) return judge(false, reply.error);
    const std::string code = std::to_string(reply.status);
    const bool listed = std::any_of(codes_.begin(), codes_.end(), [&code](const std::string& one) {
      return one == code || (one[1] == 'x' && one[0] == code[0]);
    });
    if (!listed || !match_) return judge(listed, code);
    const bool matches = match_->matches(reply.text, reply.text_size);
    return judge(matches, code + (matches ? ", the body matches" : ", the body does not match"));
  }

 private:
  static std::string make_url(const supv::sdk::Host& host) {
    if (host.has("url") == host.has("host")) {
      throw std::invalid_argument("exactly one of url and host is needed");
    }
    if (host.has("url")) {
      const std::string url = host.text("url");
      if (host.has("port"))
        throw std::invalid_argument("port belongs to host; write it in the url");
      if (url.rfind("http://", 0) != 0 && url.rfind("https://", 0) != 0) {
        throw std::invalid_argument("url: neither http:// nor https://: '" + url + "'");
      }
      return url;
    }
    const auto port = host.has("port") ? static_cast<long>(host.number("port")) : 0;
    if (host.has("port") && (port < 1 || port > 65535)) {
      throw std::invalid_argument("port: not from 1 to 65535: '" + host.text("port") + "'");
    }
    std::string name = host.text("host");
    // An address of IPv6 needs brackets in a URL.
    if (name.find(':') != std::string::npos && name.front() != '[') name = "[" + name + "]";
    const std::string path = host.text("path");
    const bool tls = host.boolean("ssl") || port == 443;
    return (tls ? "https://" : "http://") + name +
           (port == 0 ? std::string() : ":" + std::to_string(port)) +
           (path.rfind('/', 0) == 0 ? path : "/" + path);
  }

  /// `good`: it was an answer as it is described. An endpoint that does not answer does not answer
  /// so.
  Verdict judge(bool good, std::string what) const {
    return good == wanted_ ? supv::sdk::fire(std::move(what)) : supv::sdk::ok(std::move(what));
  }

  supv::sdk::Host host_;
  std::string url_;
  int redirects_;
  bool wanted_ = false;
  std::vector<std::string> codes_;
  std::unique_ptr<Pattern> match_;
};

}  // namespace

SUPV_CONDITION(HttpResponseCode, "http_response_code",
               "True when a server answers with one of certain codes, or with none of them. An "
               "endpoint that does not answer is not answering with that code.",
               SUPV_POLL, kOptions);
