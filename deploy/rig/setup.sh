#!/usr/bin/env bash
# Sets up what ./demo, ./test and .ci/run need, and only what is missing:
#   .venv/            the Python environment, from a Python of 3.10 or newer (VANTEL_PYTHON names another)
#   .local/servers/   Mosquitto, InfluxDB and nginx, unpacked from the distribution's packages, not installed
#   .local/kafka/     Kafka's libraries, by Maven
# Only Java, Maven, Chromium with its driver and Python's venv module are installed on the machine, by apt-get, and only
# when they are missing.
# It can be stopped at any time and goes on where it was; a second run with nothing to do takes a fraction of a second.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
local_dir=$root/.local
servers=$local_dir/servers
logs=$local_dir/log
started=$SECONDS

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: FAILED: %s\n' "$*" >&2; exit 1; }

# ---- what is there -----------------------------------------------------------------------------------------------

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

python_fits() { # a pyenv shim can be on the PATH and yet run nothing, so run it
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, '"${2:-99}"'))' >/dev/null 2>&1
}

find_python() { # the newest Python may be too new for compiled packages: prefer those we test with
  if [ -n "${VANTEL_PYTHON:-}" ]; then
    python_fits "$VANTEL_PYTHON" || fail "VANTEL_PYTHON=$VANTEL_PYTHON is no Python of 3.10 or newer; name another or unset it"
    printf '%s' "$VANTEL_PYTHON"
    return
  fi
  local name
  for name in python3 python3.12 python3.11 python3.13 python3.10 python; do
    if python_fits "$name" 14; then command -v "$name"; return; fi
  done
  for name in python3 python3.14 python3.15; do
    if python_fits "$name"; then command -v "$name"; return; fi
  done
}

find_exact_python() { # 3.X: on the PATH, else among pyenv's, whose shims refuse versions that are not chosen
  local path
  for path in "python$1" "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$1."*/bin/python; do
    if [ "$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
      printf '%s' "$path"
      return
    fi
  done
}

can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_java() { # not every PATH has /usr/bin; Kafka 4 wants Java 17
  local path major
  for path in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/bin/java /usr/lib/jvm/*/bin/java; do
    [ -n "$path" ] && [ -x "$path" ] || continue
    major=$("$path" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    if [ "${major:-0}" -ge 17 ]; then printf '%s' "$path"; return; fi
  done
}

find_maven() {
  local path
  for path in "$(command -v mvn || true)" /usr/bin/mvn /usr/share/maven/bin/mvn; do
    if [ -n "$path" ] && [ -x "$path" ]; then printf '%s' "$path"; return; fi
  done
}

chromium_usable() { # the page's tests drive it; Debian's own, since a browser that a test tool brings is one more download
  command -v chromium >/dev/null && command -v chromedriver >/dev/null
}

install_chromium() { # only the tests of the page need it, so a distribution without it (Ubuntu has a snap) is no failure
  say "installing Chromium for the tests of the page"
  apt_as_root update >"$logs/chromium.log" 2>&1 || true
  apt_as_root install --no-install-recommends chromium chromium-driver >>"$logs/chromium.log" 2>&1 </dev/null ||
    say "no Chromium to be had here ($logs/chromium.log); the tests of the page will be skipped"
}

server_usable() { # name: unpacked here, or on the PATH in a version we can use
  local version
  [ -x "$servers/$1/usr/sbin/$1" ] || [ -x "$servers/$1/usr/bin/$1" ] && return 0
  command -v "$1" >/dev/null || return 1
  case $1 in
    mosquitto)
      version=$(mosquitto -h 2>/dev/null | sed -n 's/^mosquitto version \([0-9.]*\).*/\1/p' || true)
      [ -n "$version" ] && at_least 2.0.11 "$version" ;;
    influxd) influxd version 2>/dev/null | grep -Eq 'v?1\.[678]\.' ;;
    nginx) true ;;
  esac
}

kafka_usable() { cmp -s "$here/kafka/pom.xml" "$local_dir/kafka/libs/pom.xml"; }

venv_stamp() { # what a fitting environment was made from; its place counts because it points back to this folder
  { cat "$root/pyproject.toml" "$here/constraints.txt"; printf '%s\n' "$root"; } | sha256sum | cut -c 1-64
}

venv_usable() { # folder
  [ -x "$1/bin/python" ] && [ "$(cat "$1/.vantel-stamp" 2>/dev/null)" = "$(venv_stamp)" ] && "$1/bin/python" -c '' 2>/dev/null
}

all_usable() {
  venv_usable "$root/.venv" && server_usable mosquitto && server_usable influxd && server_usable nginx &&
    kafka_usable && [ -n "$(find_java)" ]
}

# ---- how to get it -----------------------------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif ! command -v sudo >/dev/null; then return 126
  elif [ -t 0 ]; then sudo "$@"
  else sudo -n "$@"; fi
}

apt_as_root() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "$@"; }

install_packages() { # names
  command -v apt-get >/dev/null || fail "this machine lacks $* and has no apt-get; install them, then run this again"
  say "installing with apt-get: $*"
  local log=$logs/apt.log begun=$SECONDS
  # A list that cannot be refreshed (a third-party source that is down) is no reason to stop; a failed install is.
  apt_as_root update >"$log" 2>&1 || true
  local names=() name
  for name; do
    if [ "$name" = java ]; then
      name=default-jre-headless
      LC_ALL=C apt-cache policy openjdk-17-jre-headless | grep -q 'Candidate: [0-9]' && name=openjdk-17-jre-headless
    fi
    names+=("$name")
  done
  apt_as_root install --no-install-recommends "${names[@]}" >>"$log" 2>&1 </dev/null || {
    tail -n 15 "$log" >&2
    fail "apt-get could not install ${names[*]}; as root (or with sudo) run: apt-get update && apt-get install ${names[*]}"
  }
  say "apt-get done, $((SECONDS - begun)) s"
}

make_venv() { # folder python extras (.ci/run calls it without set -e); made anew when it was left half made or came here from another folder
  if [ -e "$1/.vantel-unfinished" ] || ! "$1/bin/pip" --version 2>/dev/null | grep -qF " $1/"; then
    rm -rf "$1"
    "$2" -m venv "$1" || return 1
  fi
  touch "$1/.vantel-unfinished" # a package cut off in the middle can look installed
  # What is imported compiles itself; the thousands of modules that never are need no bytecode.
  "$1/bin/python" -m pip install --quiet --no-compile --no-input --disable-pip-version-check -c "$here/constraints.txt" -e "$root[$3]" || return 1
  venv_stamp >"$1/.vantel-stamp.new"
  mv "$1/.vantel-stamp.new" "$1/.vantel-stamp"
  rm "$1/.vantel-unfinished"
}

make_kafka() {
  local new=$local_dir/kafka/.new java maven options=()
  java=$(find_java) maven=$(find_maven)
  rm -rf "$new"
  mkdir -p "$new"
  # The user's own Maven folder and settings count where they are; else nothing is written outside this project.
  local user_home
  user_home=$(getent passwd "$(id -u)" | cut -d : -f 6)
  [ -d "$user_home/.m2" ] || [ -d "${HOME:-/nonexistent}/.m2" ] || options+=("-Dmaven.repo.local=$local_dir/kafka/.repository")
  [ -f "${HOME:-/nonexistent}/.m2/settings.xml" ] && options+=(-s "$HOME/.m2/settings.xml")
  JAVA_HOME=$(dirname "$(dirname "$(readlink -f "$java")")") "$maven" -B -ntp -f "$here/kafka/pom.xml" "${options[@]}" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$new/libs"
  cp "$here/kafka/pom.xml" "$new/libs/pom.xml"
  rm -rf "$local_dir/kafka/libs" "$local_dir/kafka/formatted"
  mv "$new/libs" "$local_dir/kafka/libs"
  rm -rf "$new" "$local_dir/kafka/.repository"
}

# apt-get with the machine's own package lists, or, where those are missing or stale, with lists of our own: that
# needs no root and changes nothing on the machine.
apt_options=()
own_lists() {
  local lists=$local_dir/apt
  mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
  apt_options=(-o "Dir::State::lists=$lists/lists" -o "Dir::Cache=$lists/cache" -o Debug::NoLocking=1)
  apt-get -q "${apt_options[@]}" update || true
}

download() { # folder, packages
  local folder=$1
  shift
  (cd "$folder" && apt-get -q "${apt_options[@]}" download "$@")
}

lacking() { # folder program: the libraries that neither the folder nor the machine has
  local found
  found=$(find "$1/usr" "$1/lib" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | tr '\n' ':' || true)
  { LD_LIBRARY_PATH=$found ldd "$2" 2>/dev/null || true; } | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p'
}

unpack() { # folder
  local file
  for file in "$1"/debs/*.deb; do dpkg -x "$file" "$1"; done
  rm -f "$1"/debs/*.deb
}

make_server() { # program package
  local new=$servers/.new-$1 program names
  rm -rf "$new"
  mkdir -p "$new/debs"
  download "$new/debs" "$2" || { own_lists && download "$new/debs" "$2"; }
  unpack "$new"
  program=$(find "$new/usr/sbin" "$new/usr/bin" -name "$1" 2>/dev/null | head -n 1 || true)
  [ -n "$program" ] || { echo "the package $2 has no program $1"; return 1; }
  if [ -n "$(lacking "$new" "$program")" ]; then
    # What apt would install beside it, libraries only; where apt cannot plan, all libraries the package leads to.
    names=$(apt-get -q "${apt_options[@]}" install -s --no-install-recommends "$2" 2>/dev/null | sed -n 's/^Inst \(lib[^ ]*\) .*/\1/p')
    # shellcheck disable=SC2086 # a list of package names
    [ -z "$names" ] || { download "$new/debs" $names && unpack "$new"; }
  fi
  if [ -n "$(lacking "$new" "$program")" ]; then
    names=$(apt-cache "${apt_options[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
      --no-replaces --no-enhances "$2" | sed -n 's/^\(lib[^ :]*\)$/\1/p' | sort -u)
    local wanted=() name
    for name in $names; do
      dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null | grep -q '^ii' || wanted+=("$name")
    done
    [ ${#wanted[@]} = 0 ] || { download "$new/debs" "${wanted[@]}" && unpack "$new"; }
  fi
  names=$(lacking "$new" "$program")
  [ -z "$names" ] || { echo "$1 lacks these libraries: $names"; return 1; }
  rm -rf "$new/debs" "${servers:?}/$1"
  mv "$new" "$servers/$1"
}

make_servers() {
  server_usable mosquitto || make_server mosquitto mosquitto
  server_usable influxd || make_server influxd influxdb
  server_usable nginx || make_server nginx nginx
}

# ---- doing it ----------------------------------------------------------------------------------------------------

job_names=() job_pids=() job_hints=()

begin() { # name hint command...: runs beside us, in a process group of its own so that we can end all of it
  local name=$1 hint=$2
  shift 2
  say "$name ..."
  set -m
  (
    begun=$SECONDS
    "$@" >"$logs/$name.log" 2>&1 </dev/null 9>&-
    say "$name done, $((SECONDS - begun)) s"
  ) 9>&- &
  set +m
  job_names+=("$name") job_pids+=($!) job_hints+=("$hint")
}

await_all() {
  local i failed=0
  for i in "${!job_pids[@]}"; do
    if ! wait "${job_pids[$i]}"; then
      failed=1
      tail -n 20 "$logs/${job_names[$i]}.log" >&2
      printf 'setup: FAILED: %s; %s; the whole log: %s\n' "${job_names[$i]}" "${job_hints[$i]}" "$logs/${job_names[$i]}.log" >&2
    fi
  done
  job_names=() job_pids=() job_hints=()
  [ $failed = 0 ] || exit 1
}

end_jobs() {
  local pid
  for pid in "${job_pids[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
}

set_up() {
  mkdir -p "$servers" "$logs" "$local_dir/kafka"
  exec 9>"$local_dir/setup.lock"
  flock -n 9 || { say "another set-up runs in this folder; waiting for it"; flock 9; }
  all_usable && return
  trap end_jobs EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP

  local python packages=()
  python=$(find_python)
  if [ -z "$python" ] || ! can_make_venv "$python"; then
    [ -z "$python" ] || say "$python cannot make environments (no venv module)"
    packages+=(python3 python3-venv)
  fi
  [ -n "$(find_java)" ] || packages+=(java)
  kafka_usable || [ -n "$(find_maven)" ] || packages+=(maven)

  if [[ " ${packages[*]} " == *" python3-venv "* ]]; then
    install_packages "${packages[@]}"
    packages=()
    python=$(find_python)
    [ -n "$python" ] && can_make_venv "$python" ||
      fail "no Python of 3.10 or newer that can make environments; install one with its venv module, or set VANTEL_PYTHON"
  fi
  venv_usable "$root/.venv" ||
    begin python "see that pip reaches its package index, then run this again" make_venv "$root/.venv" "$python" dev
  [ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
  kafka_usable ||
    begin kafka "see that Maven reaches its repository (settings in ~/.m2/settings.xml), then run this again" make_kafka
  make_all_servers=1
  server_usable mosquitto && server_usable influxd && server_usable nginx && make_all_servers=0
  [ $make_all_servers = 0 ] ||
    begin servers "see that apt-get reaches its package mirror, or install mosquitto, influxdb 1.x and nginx yourself" make_servers
  await_all
  begin kernels "run .venv/bin/python -m edge warm and see what it says" "$root/.venv/bin/python" -m edge warm
  await_all
  say "ready, $((SECONDS - started)) s"
}

# .ci/run takes the functions alone, for environments with other Pythons.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  all_usable || set_up
  [ "${1:-}" != browser ] || chromium_usable || { mkdir -p "$logs"; install_chromium; }
fi
