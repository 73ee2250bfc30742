#!/bin/sh
# Installs the program b24relay from a release: downloads the archive for this system, compares it with SHA256SUMS, and
# copies the one binary. Everything is in functions, so that a download that breaks off runs nothing.
set -eu

readonly REPOSITORY=https://github.com/b24relay/b24relay

usage() {
  cat <<'USAGE'
usage: install.sh [--version VERSION] [--dir FOLDER]

Downloads b24relay for this system, verifies it with SHA256SUMS and installs the binary.
Needs curl or wget, tar, and sha256sum or shasum. Linux and macOS, x86_64 and aarch64.

  --version VERSION  such as 0.1.0; by default the latest release
  --dir FOLDER       where the binary goes; by default /usr/local/bin for root, else ~/.local/bin
  -h, --help         show this text

B24RELAY_RELEASES names another place of the releases, such as a mirror.

Example: sh install.sh --version 0.1.0 --dir "$HOME/bin"
USAGE
}

fail() {
  printf 'install.sh: %s\n' "$1" >&2
  exit 1
}

misused() {
  printf 'install.sh: %s\n\n' "$1" >&2
  usage >&2
  exit 2
}

has() { command -v "$1" >/dev/null 2>&1; }

# The target triple in the names of the archives.
target() {
  system=$(uname -s) machine=$(uname -m)
  case $machine in
    x86_64 | amd64) machine=x86_64 ;;
    aarch64 | arm64) machine=aarch64 ;;
    *) fail "there is no b24relay for the processor $machine: build it with \`cargo install b24relay\`" ;;
  esac
  case $system in
    Linux) echo "$machine-unknown-linux-musl" ;;
    Darwin) echo "$machine-apple-darwin" ;;
    *) fail "there is no b24relay for the system $system" ;;
  esac
}

# Whoever can change the download can change its sums as well: plain http is for this machine only.
check_address() {
  case $1 in
    https://* | http://127.0.0.1 | http://127.0.0.1[:/]* | http://localhost | http://localhost[:/]*) ;;
    *) fail "B24RELAY_RELEASES=$1 is no https address" ;;
  esac
}

# download URL FILE
download() {
  if has curl; then
    # No redirect leads from https to http.
    curl --fail --silent --show-error --location --retry 3 --connect-timeout 30 \
      --proto "=${1%%:*}" --proto-redir "=${1%%:*}" --output "$2" "$1" || fail "cannot download $1"
  elif has wget; then
    wget --quiet --tries=3 --timeout=30 --output-document="$2" "$1" || fail "cannot download $1"
  else
    fail 'it needs curl or wget'
  fi
}

# The sum of a file, in hexadecimal digits.
sum_of() {
  if has sha256sum; then
    sha256sum "$1" | cut -d ' ' -f 1
  elif has shasum; then
    shasum -a 256 "$1" | cut -d ' ' -f 1
  else
    fail 'it needs sha256sum or shasum'
  fi
}

# The name of the archive for target $1 in the sums $2. The sums of a release name its version.
archive_in() {
  name=$(sed -n "s/^[0-9a-f]\{64\} [ *]\(b24relay-v[0-9][0-9A-Za-z.+-]*-$1\.tar\.gz\)\$/\1/p" "$2")
  case $name in
    '') fail "this release has no archive for $1" ;;
    *[!0-9A-Za-z._+-]*) fail "SHA256SUMS names more than one archive for $1" ;;
  esac
  echo "$name"
}

install_archive() {
  archive=$1 folder=$2
  expected=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$archive\$/\1/p" "$work/SHA256SUMS")
  sum=$(sum_of "$work/$archive")
  [ "$sum" = "$expected" ] || fail "$archive is damaged or was changed: its sum is $sum, SHA256SUMS says $expected"
  tar -xzf "$work/$archive" -C "$work" "${archive%.tar.gz}/b24relay" || fail "cannot unpack $archive"
  mkdir -p "$folder" || fail "cannot create $folder"
  # Beside its place, so that one step replaces an older one, which goes on if it runs.
  new=$(mktemp "$folder/.b24relay.XXXXXX") || fail "cannot write to $folder"
  cp "$work/${archive%.tar.gz}/b24relay" "$new" || fail "cannot write to $folder"
  chmod 755 "$new"
  "$new" --version || fail "the program does not start here; $folder is as it was"
  mv -f "$new" "$folder/b24relay"
}

clean_up() {
  rm -rf "$work"
  [ -z "$new" ] || rm -f "$new"
}

main() {
  version='' folder=''
  while [ $# -gt 0 ]; do
    case $1 in
      --version | --dir) [ -n "${2-}" ] || misused "$1 needs a value" ;;
    esac
    case $1 in
      --version) version=${2#v}; shift ;;
      --dir) folder=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      *) misused "there is no argument \`$1\`" ;;
    esac
    shift
  done
  case $version in
    *[!0-9A-Za-z.+-]*) misused "--version $version is no version" ;;
  esac
  if [ -z "$folder" ]; then
    if [ "$(id -u)" -eq 0 ]; then
      folder=/usr/local/bin
    else
      folder=${HOME:?}/.local/bin
    fi
  fi
  releases=${B24RELAY_RELEASES:-$REPOSITORY/releases}
  check_address "$releases"
  releases=${releases%/}/${version:+download/v$version}
  [ "$version" ] || releases=${releases}latest/download

  target=$(target)
  work=$(mktemp -d)
  new=''
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  download "$releases/SHA256SUMS" "$work/SHA256SUMS"
  archive=$(archive_in "$target" "$work/SHA256SUMS")
  download "$releases/$archive" "$work/$archive"
  install_archive "$archive" "$folder"

  echo "installed in $folder"
  case :$PATH: in
    *":$folder:"*) ;;
    *) echo "$folder is not in PATH: add it, or call $folder/b24relay" ;;
  esac
}

main "$@"
