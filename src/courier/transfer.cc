#include "courier/transfer.h"

#include <strings.h>

#include <algorithm>

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

/// As it stands in a request; null: curl says it by itself.
const char* verb(Method method) {
  switch (method) {
    case Method::put:
      return "PUT";
    case Method::remove:
      return "DELETE";
    case Method::patch:
      return "PATCH";
    case Method::options:
      return "OPTIONS";
    case Method::get:
    case Method::head:
    case Method::post:
    case Method::mail:
    case Method::datagram:
      return nullptr;
  }
  return nullptr;
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
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_ms));
  origin_.configure(easy_);
  set_request(*split_url(request_.url));
  origin_.add(easy_);
}

Transfer::~Transfer() {
  buffered_ -= done_.body.size();
  origin_.remove(easy_);
  curl_.easy_cleanup(easy_);
  curl_.slist_free_all(headers_);
  curl_.slist_free_all(recipients_);
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
  if (request_.method == Method::mail) return set_mail();
  set_body();
  if (request_.redirects > 0) {
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, static_cast<long>(request_.redirects));
  }
  set(CURLOPT_HTTPHEADER, headers_);
}

void Transfer::set_body() {
  const auto set = [&](CURLoption option, auto value) { curl_.easy_setopt(easy_, option, value); };
  const Method method = request_.method;
  const bool always = method == Method::put || method == Method::post || method == Method::patch;
  if (always || !request_.body.empty()) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    set(CURLOPT_POSTFIELDS, request_.body.c_str());
    const bool typed =
        std::any_of(request_.headers.begin(), request_.headers.end(), [](std::string_view header) {
          return same_name(header.substr(0, header.find(':')), "Content-Type");
        });
    if (!typed) {
      headers_ = curl_.slist_append(headers_, "Content-Type: application/octet-stream");
    }
    headers_ = curl_.slist_append(headers_, "Expect:");
    // A body makes a POST of what has no word of its own.
    if (method == Method::get) set(CURLOPT_CUSTOMREQUEST, "GET");
  }
  if (method == Method::head) set(CURLOPT_NOBODY, 1L);
  if (const char* word = verb(method)) set(CURLOPT_CUSTOMREQUEST, word);
}

void Transfer::set_mail() {
  const auto set = [&](CURLoption option, auto value) { curl_.easy_setopt(easy_, option, value); };
  const Envelope& envelope = request_.envelope;
  set(CURLOPT_MAIL_FROM, ('<' + envelope.from + '>').c_str());
  for (const std::string& recipient : envelope.recipients)
    recipients_ = curl_.slist_append(recipients_, ('<' + recipient + '>').c_str());
  set(CURLOPT_MAIL_RCPT, recipients_);
  if (!envelope.user.empty()) {
    set(CURLOPT_USERNAME, envelope.user.c_str());
    set(CURLOPT_PASSWORD, envelope.password.c_str());
  }
  switch (envelope.tls) {
    case Envelope::Tls::none:
      break;
    case Envelope::Tls::attempt:
      set(CURLOPT_USE_SSL, static_cast<long>(CURLUSESSL_TRY));
      break;
    case Envelope::Tls::require:
      set(CURLOPT_USE_SSL, static_cast<long>(CURLUSESSL_ALL));
      break;
  }
  set(CURLOPT_UPLOAD, 1L);
  set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
  set(CURLOPT_READFUNCTION, &Transfer::on_upload);
  set(CURLOPT_READDATA, this);
  // A server that has hung up meanwhile, or other credentials: mails are rare, connections cheap.
  set(CURLOPT_FRESH_CONNECT, 1L);
  set(CURLOPT_FORBID_REUSE, 1L);
}

std::size_t Transfer::on_upload(char* room, std::size_t, std::size_t size, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const std::string_view left =
      std::string_view(transfer->request_.body).substr(transfer->uploaded_);
  const std::size_t taken = left.copy(room, size);
  transfer->uploaded_ += taken;
  return taken;
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
  if (line.starts_with("HTTP/")) {  // Of a redirect only the last answer counts.
    done_.index = done_.last_contact_ms = done_.retry_after_s = 0;
    done_.known_leader = true;
  }
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
  const bool mail = request_.method == Method::mail;
  if (origin_.tls() && !mail && version < CURL_HTTP_VERSION_2_0) origin_.without_multiplexing();
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
  } else if (result == CURLE_TOO_MANY_REDIRECTS) {
    text = "more than " + std::to_string(request_.redirects) + " redirects";
  }
  return text;
}

}  // namespace supv::courier
