# Sourced by tests/run and examples/quickstart: brings in the Debian packages that are missing.

# need_packages PACKAGE...: installs those that are not there. Asks the network only if one is
# missing; without the rights to install it names what is missing and returns 1.
need_packages() {
  local package missing=() as_root=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "These Debian packages are missing, and installing them needs root:" >&2
      echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo -n)
  fi
  echo "Installing: ${missing[*]}"
  without_service_starts install_now "${missing[@]}"
}

# Lists that are empty or too old make the first attempt fail; then they are fetched once.
install_now() {
  apt_get install "$@" >/dev/null 2>&1 || { apt_get update && apt_get install "$@"; }
}

apt_get() {
  local verb=$1
  shift
  set -- "$verb" -q -y -o DPkg::Lock::Timeout=300 "$@"
  [ "$verb" = update ] || set -- "$@" --no-install-recommends
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

# Debian starts redis and nginx when it installs them; nobody here wants their default ports taken.
without_service_starts() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  "$@" || status=$?
  "${as_root[@]}" rm -f "$policy"
  return $status
}

# What building the two programs takes.
build_packages=(build-essential cmake ninja-build pkg-config libcurl4-openssl-dev libyaml-cpp-dev
  libfmt-dev libcli11-dev liblua5.4-dev nlohmann-json3-dev libmicrohttpd-dev)
