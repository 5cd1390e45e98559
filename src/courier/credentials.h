#pragma once

#include <optional>
#include <string>

#include "courier/wire.h"

namespace supv::courier {

/// The certificates and the key of a connection as they were in their files at one moment.
struct Credentials {
  std::string authorities;  ///< PEM; empty: the system's.
  std::string certificate;  ///< PEM; empty: none is shown.
  std::string key;          ///< PEM; empty with a certificate: it is in the same file.
};

/// Changes whenever one of the files is replaced or written: their certificates are short-lived,
/// and a connection made with old ones must not be used for what follows.
std::string fingerprint(const Connection& connection);

/// Reads them; empty when a file cannot be used, and `error` names it.
std::optional<Credentials> load_credentials(const Connection& connection, std::string& error);

}  // namespace supv::courier
