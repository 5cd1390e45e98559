#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "courier/origin.h"
#include "courier/wire.h"

namespace supv::courier {

/// One request under way on an origin, and the answer as far as it has come.
class Transfer {
 public:
  /// `buffered` counts the bytes of all answers in progress.
  Transfer(const CurlApi& curl, Origin& origin, Request request, std::size_t& buffered);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  Origin& origin() { return origin_; }
  /// The answer once the transfer has ended with `result`.
  Done finish(CURLcode result);
  /// The answer when the deadline passed first.
  Done give_up();

 private:
  static std::size_t on_body(char* bytes, std::size_t, std::size_t size, void* self);
  static std::size_t on_upload(char* room, std::size_t, std::size_t size, void* self);
  static std::size_t on_header(char* bytes, std::size_t, std::size_t size, void* self);
  void set_request(const UrlParts& url);
  void set_body();
  void set_mail();
  void take_header(std::string_view line);
  Done failed(const std::string& error) const;
  std::string describe(CURLcode result) const;

  const CurlApi& curl_;
  Origin& origin_;
  Request request_;
  std::size_t& buffered_;
  CURL* easy_;
  curl_slist* headers_ = nullptr;
  curl_slist* recipients_ = nullptr;
  std::size_t uploaded_ = 0;  ///< Of a mail's text.
  Done done_;
  const char* refused_ = nullptr;  ///< Why on_body stopped the transfer.
  char error_[CURL_ERROR_SIZE] = {};
};

}  // namespace supv::courier
