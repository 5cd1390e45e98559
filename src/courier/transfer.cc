#include "courier/transfer.h"

#include <strings.h>

#include "base/check.h"
#include "base/text.h"
#include "base/units.h"

namespace supv::courier {
namespace {

/// All answers in progress together; kMaxBody bounds each of them.
constexpr std::size_t kMaxBuffered = std::size_t{64} * 1024 * 1024;
constexpr std::size_t kMaxErrorText = 300;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

Transfer::Transfer(const CurlApi& curl, Origin& origin, Request request, std::size_t& buffered)
    : curl_(curl),
      origin_(origin),
      request_(std::move(request)),
      buffered_(buffered),
      easy_(curl.easy_init()) {
  SUPV_CHECK(easy_ != nullptr);
  const auto set = [&](CURLoption option, auto value) { curl_.easy_setopt(easy_, option, value); };
  set(CURLOPT_PRIVATE, this);
  set(CURLOPT_ERRORBUFFER, error_);
  set(CURLOPT_USERAGENT, "supv");
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  origin_.configure(easy_);
  set_request(*split_url(request_.url));
  origin_.add(easy_);
}

Transfer::~Transfer() {
  buffered_ -= done_.body.size();
  origin_.remove(easy_);
  curl_.easy_cleanup(easy_);
  curl_.slist_free_all(headers_);
}

void Transfer::set_request(const UrlParts& url) {
  const auto set = [&](CURLoption option, auto value) { curl_.easy_setopt(easy_, option, value); };
  const auto add_header = [&](const std::string& line) {
    headers_ = curl_.slist_append(headers_, line.c_str());
  };
  for (const std::string& header : request_.headers) add_header(header);
  const std::string& name = request_.connection.tls_server_name;
  if (url.tls && !name.empty()) {
    // The name stands in the URL so that TLS asks for it; the origin's CONNECT_TO leads it home.
    set(CURLOPT_URL, ("https://" + name + ':' + url.port + url.rest).c_str());
    add_header("Host: " + url.authority());
  } else {
    set(CURLOPT_URL, request_.url.c_str());
  }
  switch (request_.method) {
    case Method::get:
      break;
    case Method::put:
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
      set(CURLOPT_POSTFIELDS, request_.body.c_str());
      set(CURLOPT_CUSTOMREQUEST, "PUT");
      add_header("Content-Type: application/octet-stream");
      add_header("Expect:");
      break;
    case Method::remove:
      set(CURLOPT_CUSTOMREQUEST, "DELETE");
      break;
  }
  set(CURLOPT_HTTPHEADER, headers_);
}

std::size_t Transfer::on_body(char* bytes, std::size_t, std::size_t size, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  std::string& body = transfer->done_.body;
  if (body.size() + size > kMaxBody) {
    transfer->refused_ = "the answer is larger than 8 MiB";
  } else if (transfer->buffered_ + size > kMaxBuffered) {
    transfer->refused_ = "the answers in progress are larger than 64 MiB together";
  } else {
    body.append(bytes, size);
    transfer->buffered_ += size;
    return size;
  }
  return size + 1;  // Anything but `size` ends the transfer.
}

std::size_t Transfer::on_header(char* bytes, std::size_t, std::size_t size, void* self) {
  static_cast<Transfer*>(self)->take_header({bytes, size});
  return size;
}

void Transfer::take_header(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (same_name(name, "X-Consul-Index")) done_.index = parse_unsigned(value).value_or(0);
  if (same_name(name, "X-Consul-KnownLeader")) done_.known_leader = same_name(value, "true");
  if (same_name(name, "X-Consul-LastContact"))
    done_.last_contact_ms = parse_unsigned(value).value_or(0);
  if (same_name(name, "Retry-After")) done_.retry_after_s = parse_unsigned(value).value_or(0);
}

Done Transfer::finish(CURLcode result) {
  if (result != CURLE_OK) return failed(describe(result));
  long version = 0;
  curl_.easy_getinfo(easy_, CURLINFO_HTTP_VERSION, &version);
  if (origin_.tls() && version < CURL_HTTP_VERSION_2_0) origin_.without_multiplexing();
  long status = 0;
  curl_.easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  done_.status = static_cast<int>(status);
  done_.tag = request_.tag;
  buffered_ -= done_.body.size();
  Done done = std::move(done_);
  done_ = {};
  return done;
}

Done Transfer::give_up() {
  long sent = 0;
  curl_.easy_getinfo(easy_, CURLINFO_REQUEST_SIZE, &sent);
  const std::string within = " within " + format_duration(Duration(request_.deadline_ms));
  return failed((sent > 0 ? "no complete answer" : "no connection") + within);
}

Done Transfer::failed(const std::string& error) const {
  Done done;
  done.tag = request_.tag;
  done.error = printable(error).substr(0, kMaxErrorText);
  return done;
}

std::string Transfer::describe(CURLcode result) const {
  if (refused_ != nullptr) return refused_;
  std::string text = error_[0] != '\0' ? error_ : curl_.easy_strerror(result);
  const std::size_t others = origin_.under_way() - 1;
  const bool cut = result == CURLE_GOT_NOTHING || result == CURLE_RECV_ERROR;
  const bool shook = result == CURLE_SSL_CONNECT_ERROR || result == CURLE_SEND_ERROR;
  if (result == CURLE_PEER_FAILED_VERIFICATION) {
    const bool name = text.find("subject name") != std::string::npos;
    text += name ? " (set tls_server_name?)" : " (is it signed by the authority in ca_file?)";
  } else if (origin_.tls() && (shook || cut) && !origin_.shows_certificate()) {
    text += " (does the server want a client certificate?)";
  } else if (cut && others > 0) {
    text += " (the agent's limit of connections? " + std::to_string(others) +
            " other requests are under way)";
  } else if (result == CURLE_UNSUPPORTED_PROTOCOL) {
    text += " (is this an HTTP server?)";
  }
  return text;
}

}  // namespace supv::courier
