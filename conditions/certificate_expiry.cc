#include <dlfcn.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <supv/condition.hpp>

#include "connect.h"

namespace {

using supv::conditions::Connection;
using supv::sdk::duration_text;
using supv::sdk::unknown;
using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"host", SUPV_TEXT, nullptr, "Asks this server for its certificate; this or `path`.", 0,
     nullptr},
    {"port", SUPV_INTEGER, "443", "The server's port; TLS from the first byte.", 0, nullptr},
    {"server_name", SUPV_TEXT, nullptr, "Name to ask the server for, in place of `host`.", 0,
     nullptr},
    {"path", SUPV_TEXT, nullptr,
     "Reads the first certificate of this PEM file; relative to `dir` of the watch.", 0, nullptr},
    {"within", SUPV_DURATION, "14d", "Fires when it expires sooner than in this time.", 0, nullptr},
    {"timeout", SUPV_DURATION, "5s", "A server that takes longer is unreachable.", 0, nullptr},
};

/// The part of OpenSSL that is used, loaded at first need: the daemon itself maps only libc. Its
/// types are never looked into.
struct Ssl {
  const void* (*client_method)();
  void* (*context_new)(const void* method);
  void (*context_free)(void* context);
  void* (*ssl_new)(void* context);
  void (*ssl_free)(void* ssl);
  int (*set_fd)(void* ssl, int fd);
  long (*control)(void* ssl, int command, long number, void* argument);
  int (*connect)(void* ssl);
  void* (*peer_certificate)(const void* ssl);
  const void* (*not_after)(const void* certificate);
  int (*time_to_tm)(const void* time, std::tm* parts);
  void (*certificate_free)(void* certificate);
  void* (*file_new)(const char* path, const char* mode);
  int (*file_free)(void* file);
  void* (*read_pem)(void* file, void** certificate, void* password, void* argument);
  unsigned long (*get_error)();
  const char* (*error_reason)(unsigned long error);
  void (*clear_errors)();

  /// Null, and `error` says why.
  static const Ssl* load(std::string& error);

 private:
  bool find_all(void* library);
};

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

bool Ssl::find_all(void* library) {
  return find(library, "TLS_client_method", client_method) &&
         find(library, "SSL_CTX_new", context_new) && find(library, "SSL_CTX_free", context_free) &&
         find(library, "SSL_new", ssl_new) && find(library, "SSL_free", ssl_free) &&
         find(library, "SSL_set_fd", set_fd) && find(library, "SSL_ctrl", control) &&
         find(library, "SSL_connect", connect) &&
         (find(library, "SSL_get1_peer_certificate", peer_certificate) ||
          find(library, "SSL_get_peer_certificate", peer_certificate)) &&
         find(library, "X509_get0_notAfter", not_after) &&
         find(library, "ASN1_TIME_to_tm", time_to_tm) &&
         find(library, "X509_free", certificate_free) && find(library, "BIO_new_file", file_new) &&
         find(library, "BIO_free", file_free) && find(library, "PEM_read_bio_X509", read_pem) &&
         find(library, "ERR_get_error", get_error) &&
         find(library, "ERR_reason_error_string", error_reason) &&
         find(library, "ERR_clear_error", clear_errors);
}

const Ssl* Ssl::load(std::string& error) {
  static Ssl ssl{};
  static const std::string missing = [] {
    void* library = ::dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) library = ::dlopen("libssl.so.1.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return "OpenSSL is missing (Debian package libssl3)";
    return ssl.find_all(library) ? "" : "OpenSSL is too old: 1.1.1 or newer is needed";
  }();
  error = missing;
  return missing.empty() ? &ssl : nullptr;
}

using Owned = std::unique_ptr<void, void (*)(void*)>;

std::string last_error(const Ssl& ssl) {
  const char* reason = ssl.error_reason(ssl.get_error());
  return reason == nullptr ? "the connection ended" : reason;
}

std::string date_text(std::time_t time) {
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%MZ", &parts);
  return text;
}

class CertificateExpiry : public supv::sdk::Condition {
 public:
  explicit CertificateExpiry(const supv::sdk::Host& host)
      : host_(host.text("host")),
        port_(host.text("port")),
        server_name_(host.text("server_name")),
        path_(host.path("path")),
        within_ms_(host.number("within")),
        timeout_(static_cast<std::int64_t>(host.number("timeout"))) {
    if (host_.empty() == path_.empty()) throw std::invalid_argument("needs either host or path");
    if (host.number("port") < 1 || host.number("port") > 65535) {
      throw std::invalid_argument("port: '" + port_ + "' is not from 1 to 65535");
    }
    if (!path_.empty() && !server_name_.empty()) {
      throw std::invalid_argument("server_name needs host");
    }
    if (timeout_.count() < 1) throw std::invalid_argument("timeout must not be 0");
  }

  Verdict poll(const supv_event& event) override {
    std::string error;
    const Ssl* ssl = Ssl::load(error);
    if (ssl == nullptr) return unknown(error);
    ssl->clear_errors();
    const Owned certificate(path_.empty() ? ask(*ssl, error) : read(*ssl, error),
                            ssl->certificate_free);
    if (!certificate) return unknown(error);
    std::tm parts{};
    if (ssl->time_to_tm(ssl->not_after(certificate.get()), &parts) != 1) {
      return unknown("its date is not one");
    }
    return judge(::timegm(&parts), static_cast<double>(event.wall_ns) / 1e6);
  }

 private:
  Verdict judge(std::time_t expires, double now_ms) const {
    const double left_ms = static_cast<double>(expires) * 1e3 - now_ms;
    if (left_ms <= 0) {
      return supv::sdk::fire("expired " + duration_text(-left_ms) + " ago, on " +
                             date_text(expires));
    }
    std::string said = "expires in " + duration_text(left_ms) + ", on " + date_text(expires);
    return left_ms <= within_ms_ ? supv::sdk::fire(std::move(said))
                                 : supv::sdk::ok(std::move(said));
  }

  void* read(const Ssl& ssl, std::string& error) const {
    void* file = ssl.file_new(path_.c_str(), "r");
    if (file == nullptr) {
      error = path_ + ": " + last_error(ssl);
      return nullptr;
    }
    void* certificate = ssl.read_pem(file, nullptr, nullptr, nullptr);
    ssl.file_free(file);
    if (certificate == nullptr) error = path_ + " has no certificate";
    return certificate;
  }

  void* ask(const Ssl& ssl, std::string& error) const {
    constexpr int kSetServerName = 55;  // SSL_CTRL_SET_TLSEXT_HOSTNAME
    const Connection made = supv::conditions::connect_tcp(host_, port_, timeout_);
    if (made.outcome != Connection::Outcome::connected) {
      error = host_ + ":" + port_ + ": " + made.reason;
      return nullptr;
    }
    const Owned context(ssl.context_new(ssl.client_method()), ssl.context_free);
    const Owned session(context ? ssl.ssl_new(context.get()) : nullptr, ssl.ssl_free);
    if (!session) {
      error = last_error(ssl);
      return nullptr;
    }
    // Its authority is not asked for: an unknown one has a date as well.
    std::string name =
        server_name_.empty() && !supv::conditions::is_address(host_) ? host_ : server_name_;
    if (!name.empty()) ssl.control(session.get(), kSetServerName, 0, name.data());
    ssl.set_fd(session.get(), made.socket.get());
    const bool done = ssl.connect(session.get()) == 1;
    // A server that goes on to refuse us (it wants our certificate) has shown its own before.
    void* certificate = ssl.peer_certificate(session.get());
    if (certificate != nullptr) return certificate;
    error = host_ + ":" + port_ +
            (done ? " showed no certificate" : ": no TLS handshake: " + last_error(ssl));
    return nullptr;
  }

  std::string host_;
  std::string port_;
  std::string server_name_;
  std::string path_;
  double within_ms_;
  std::chrono::milliseconds timeout_;
};

}  // namespace

SUPV_CONDITION_THAT(CertificateExpiry, "certificate_expiry",
                    "True when a certificate expires soon, or has expired.", SUPV_POLL, kOptions,
                    SUPV_WAITS);
