#include "app/node_facts.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

namespace supv {
namespace {

std::string in_sys(const std::string& interface, const char* what) {
  return fmt::format("/sys/class/net/{}/{}", interface, what);
}

bool is_private(std::uint32_t address) {
  return (address >> 24) == 10 || (address >> 20) == 0xac1 || (address >> 16) == 0xc0a8;
}

/// Interfaces that lead to everywhere, from the kernel's routing table.
std::set<std::string> with_default_route() {
  std::set<std::string> names;
  std::ifstream table("/proc/net/route");
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string name;
    std::string destination;
    if (fields >> name >> destination && destination == "00000000") names.insert(name);
  }
  return names;
}

bool wanted(const ifaddrs& entry, const std::string& interface,
            const std::set<std::string>& routed) {
  if (entry.ifa_addr == nullptr || entry.ifa_addr->sa_family != AF_INET) return false;
  const std::string name = entry.ifa_name;
  if (!interface.empty()) return name == interface;
  const auto* address = reinterpret_cast<const sockaddr_in*>(entry.ifa_addr);
  if ((entry.ifa_flags & IFF_LOOPBACK) != 0 || !is_private(ntohl(address->sin_addr.s_addr))) {
    return false;
  }
  if (access(in_sys(name, "bridge").c_str(), F_OK) == 0) return false;
  return routed.count(name) == 1 || access(in_sys(name, "device").c_str(), F_OK) == 0;
}

}  // namespace

NodeFacts node_facts(const std::string& interface) {
  NodeFacts facts;
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) == 0) facts.hostname = host.data();
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return facts;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owned(list, &freeifaddrs);
  const std::set<std::string> routed = with_default_route();
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (!wanted(*entry, interface, routed)) continue;
    std::array<char, INET_ADDRSTRLEN> text{};
    const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
    inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size());
    facts.ip = text.data();
    std::ifstream(in_sys(entry->ifa_name, "address")) >> facts.mac;
    return facts;
  }
  if (!interface.empty()) std::ifstream(in_sys(interface, "address")) >> facts.mac;
  return facts;
}

}  // namespace supv
