#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <random>
#include <string>

#include "base/fd.h"
#include "gateway/dev_kv_api.h"
#include "gateway/dev_kv_file.h"
#include "gateway/dev_kv_microhttpd.h"
#include "gateway/dev_kv_store.h"

namespace supv {

/// HTTP for the trial KV in one thread: a connection that waits is suspended and costs nothing.
class KvServer {
 public:
  /// Serves `listener`, which is bound to `port`. Throws std::runtime_error when it cannot.
  KvServer(const MicroHttpd& http, Fd listener, std::uint16_t port, KvFile file, KvStore store);
  ~KvServer();
  KvServer(const KvServer&) = delete;
  KvServer& operator=(const KvServer&) = delete;

  /// For ever.
  [[noreturn]] void run();

 private:
  using Clock = std::chrono::steady_clock;
  /// One request under way; made with its first line, gone with its last byte.
  struct Exchange {
    KvServer* server = nullptr;
    MHD_Connection* connection = nullptr;
    KvAsk ask;
    bool begun = false;
    bool ready = false;  ///< `answer` is to be given.
    KvAnswer answer;
    KvWait wait;
    Clock::time_point until;
    std::list<Exchange*>::iterator waiting;
    bool is_waiting = false;
  };

  static void* on_line(void* self, const char* target, MHD_Connection* connection);
  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* target,
                               const char* method, const char* version, const char* body,
                               std::size_t* size, void** exchange);
  static void on_completed(void* self, MHD_Connection* connection, void** exchange,
                           MHD_RequestTerminationCode);

  void serve(Exchange& exchange);
  MHD_Result answer(const Exchange& exchange);
  void wake_readers(std::string_view touched);
  void wake_late();
  void resume(Exchange& exchange);
  int timeout_ms() const;

  const MicroHttpd& http_;
  std::uint16_t port_;
  KvFile file_;
  KvStore store_;
  KvApi api_;
  std::minstd_rand random_;
  std::list<Exchange*> waiting_;
  bool resumed_ = false;  ///< Since the library last ran.
  MHD_Daemon* daemon_ = nullptr;
};

}  // namespace supv
