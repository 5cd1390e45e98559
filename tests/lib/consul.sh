#!/bin/sh
# Prints the path of a consul binary: $CONSUL_BIN, else the one in PATH, else Debian 11's package
# (1.8.7, the last one Debian ships), unpacked into a cache and never installed. The package comes
# through apt from the mirror this machine is configured for, so apt checks the signature of the
# Release file, the hash of the index and the hash of the package.
# No consul: one line on standard error and exit 77.
set -u

suite=bullseye
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/supv

unavailable() {
  echo "no consul: $1" >&2
  exit 77
}

works() {
  [ -n "$1" ] && [ -x "$1" ] && "$1" version 2>/dev/null | grep -q '^Consul v'
}

# The base addresses of the Debian archive that apt is configured for, one a line.
mirrors() {
  # shellcheck disable=SC2016  # apt's own format language
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
    2>/dev/null |
    awk '$3 == "main" && $2 !~ /security/ && $1 ~ /debian/ && !seen[$1]++ { print $1 }'
}

# private_apt DIR ARGUMENTS: apt that reads and writes nothing of the system but its proxy settings.
private_apt() {
  private=$1
  shift
  apt-get -q -q -o Dir::State="$private/state" -o Dir::State::status="$private/status" \
    -o Dir::Cache="$private/cache" -o Dir::Etc::sourcelist="$private/sources.list" \
    -o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=- -o APT::Sandbox::User= \
    -o APT::Get::List-Cleanup=0 -o Acquire::Languages=none -o Acquire::Retries=2 \
    -o Acquire::http::Timeout=30 -o APT::Update::Error-Mode=any "$@"
}

# fetch MIRROR DIR: leaves the package in DIR.
fetch() {
  mkdir -p "$2/state/lists/partial" "$2/cache/archives/partial"
  : >"$2/status"
  echo "deb [signed-by=$keyring] $1 $suite main" >"$2/sources.list"
  private_apt "$2" update >"$2/log" 2>&1 || return 1
  (cd "$2" && private_apt "$2" download consul >>log 2>&1) || return 1
}

if [ -n "${CONSUL_BIN:-}" ]; then
  works "$CONSUL_BIN" || unavailable "\$CONSUL_BIN ($CONSUL_BIN) does not run"
  echo "$CONSUL_BIN"
  exit 0
fi
found=$(command -v consul || true)
if works "$found"; then
  echo "$found"
  exit 0
fi

architecture=$(dpkg --print-architecture 2>/dev/null) ||
  unavailable "not in PATH, \$CONSUL_BIN is not set, and this is not a Debian system"
target=$cache/consul-$suite-$architecture
if works "$target/usr/bin/consul"; then
  echo "$target/usr/bin/consul"
  exit 0
fi
[ -r "$keyring" ] || unavailable "$keyring is missing (package debian-archive-keyring)"
mkdir -p "$cache" 2>/dev/null || unavailable "cannot write to $cache"

# Tests run in parallel: one fetches, the others wait for it.
exec 9>"$cache/consul.lock"
flock 9 2>/dev/null || unavailable "flock is missing (package util-linux)"
if works "$target/usr/bin/consul"; then
  echo "$target/usr/bin/consul"
  exit 0
fi

work=$(mktemp -d "$cache/consul.XXXXXX") || unavailable "cannot write to $cache"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
reason="apt is not configured for a Debian mirror"
for mirror in $(mirrors); do
  rm -rf "$work/fetch"
  if fetch "$mirror" "$work/fetch"; then
    package=$(find "$work/fetch" -maxdepth 1 -name 'consul_*.deb' | head -n 1)
    dpkg -x "$package" "$work/tree" || unavailable "the package cannot be unpacked"
    works "$work/tree/usr/bin/consul" || unavailable "the unpacked program does not run here"
    rm -rf "$target"
    mv "$work/tree" "$target"
    echo "$target/usr/bin/consul"
    exit 0
  fi
  reason=$(grep -m 1 '^[EW]:' "$work/fetch/log" | cut -c 4-200)
done
unavailable "the configured mirror does not give it: $reason"
