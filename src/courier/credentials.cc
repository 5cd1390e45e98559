#include "courier/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/fd.h"

namespace supv::courier {
namespace {

constexpr std::size_t kMaxPem = std::size_t{4} * 1024 * 1024;

/// The files under a directory, in a stable order. Consul's own tools walk it the same way.
std::vector<std::string> files_under(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  using Walk = std::filesystem::recursive_directory_iterator;
  for (Walk at(directory, error), end; !error && at != end; at.increment(error))
    if (at->is_regular_file(error)) files.push_back(at->path().string());
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> authority_files(const Connection& connection) {
  std::vector<std::string> files;
  if (!connection.ca_path.empty()) files = files_under(connection.ca_path);
  if (!connection.ca_file.empty()) files.push_back(connection.ca_file);
  return files;
}

/// Appends the file; false with errno set when it cannot be read or is absurdly long.
bool append_file(const std::string& path, std::string& to) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return false;
  char buffer[16 * 1024];
  ssize_t size = 0;
  while ((size = ::read(fd.get(), buffer, sizeof buffer)) > 0) {
    to.append(buffer, static_cast<std::size_t>(size));
    if (to.size() > kMaxPem) {
      errno = EFBIG;
      return false;
    }
  }
  return size == 0;
}

bool read_pem(const char* what, const std::string& path, std::string& to, std::string& error) {
  if (append_file(path, to)) {
    to += '\n';
    if (to.find("-----BEGIN ") != std::string::npos) return true;
    error = std::string(what) + ' ' + path + " is not a PEM file";
  } else {
    error = std::string(what) + ' ' + path + ": " + std::strerror(errno);
  }
  return false;
}

}  // namespace

std::string fingerprint(const Connection& connection) {
  std::vector<std::string> files = authority_files(connection);
  for (const std::string* file : {&connection.client_cert, &connection.client_key})
    if (!file->empty()) files.push_back(*file);
  std::string all;
  for (const std::string& file : files) {
    struct stat seen {};
    all += file;
    if (::stat(file.c_str(), &seen) != 0) continue;
    for (const auto number :
         {static_cast<std::int64_t>(seen.st_mtim.tv_sec),
          static_cast<std::int64_t>(seen.st_mtim.tv_nsec), static_cast<std::int64_t>(seen.st_ino),
          static_cast<std::int64_t>(seen.st_size)})
      all += ' ' + std::to_string(number);
  }
  return all;
}

std::optional<Credentials> load_credentials(const Connection& connection, std::string& error) {
  Credentials credentials;
  const std::vector<std::string> authorities = authority_files(connection);
  if (authorities.empty() && !connection.ca_path.empty()) {
    error = "ca_path " + connection.ca_path + " holds no file";
    return std::nullopt;
  }
  for (const std::string& file : authorities)
    if (!read_pem("authority", file, credentials.authorities, error)) return std::nullopt;
  if (!connection.client_cert.empty() &&
      !read_pem("client_cert", connection.client_cert, credentials.certificate, error))
    return std::nullopt;
  if (!connection.client_key.empty() &&
      !read_pem("client_key", connection.client_key, credentials.key, error))
    return std::nullopt;
  if (credentials.key.empty()) credentials.key = credentials.certificate;
  return credentials;
}

}  // namespace supv::courier
