#!/usr/bin/env bash
# Certificates for the broker and its clients, by the openssl command line. For tests, rigs and first steps: the CA's
# key lies unprotected beside them. A fleet gives its vans keys that never leave their chip, from a CA of its own.
#   make_certificates.sh FOLDER ca
#   make_certificates.sh FOLDER server NAME [NAME or ADDRESS...]   names under which clients reach the broker
#   make_certificates.sh FOLDER van ID                             CN = van.id of the agent's settings
#   make_certificates.sh FOLDER bridge NUMBER                      CN = vantel-bridge-NUMBER
#   make_certificates.sh FOLDER operator page|operator|campaign    CN = vantel-page, vantel-operator, vantel-campaign
# Writes ca.pem, server.pem, {CN}.pem and a .key for each; what is there already is kept. DAYS sets how long a
# certificate lasts (default 60, the CA 3650). Status 1 with the reason when a name is not allowed or openssl fails.
set -euo pipefail
umask 077

fail() { echo "make_certificates: $1" >&2; exit 1; }

[ $# -ge 2 ] || fail "wrong usage; give FOLDER and ca, server, van, bridge or operator (the head of this file explains)"
command -v openssl >/dev/null || fail "openssl is missing; install the package openssl"
folder=$1 kind=$2
shift 2
mkdir -p "$folder"
cd "$folder"
exec 9>.lock
flock 9  # two runs at once would give two certificates the same serial number

quietly() { # openssl's words only when it fails
  local said
  said=$("$@" 2>&1) || fail "$1 $2 failed: $said"
}

new_key() { quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

issue() { # file CN extensions
  local file=$1 name=$2 extensions=$3
  [ -f ca.pem ] || fail "no ca.pem in $folder; run: make_certificates.sh $folder ca"
  [ ! -f "$file.pem" ] || { echo "$folder/$file.pem is there already"; return; }
  local work
  work=$(mktemp -d .making.XXXXXX)
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$PWD/$work'" EXIT
  new_key "$work/key"
  quietly openssl req -new -key "$work/key" -subj "/CN=$name" -out "$work/request"
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n%s\n' "$extensions" >"$work/extensions"
  quietly openssl x509 -req -in "$work/request" -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 15)" \
    -sha256 -days "${DAYS:-60}" -extfile "$work/extensions" -out "$work/certificate"
  mv "$work/key" "$file.key"
  mv "$work/certificate" "$file.pem"
  echo "$folder/$file.pem: CN=$name"
}

client() { issue "$1" "$1" "extendedKeyUsage=clientAuth"; }

case $kind in
  ca)
    [ ! -f ca.pem ] || { echo "$folder/ca.pem is there already"; exit 0; }
    new_key ca.key
    quietly openssl req -x509 -new -key ca.key -sha256 -days "${DAYS:-3650}" -subj "/CN=Vantel test CA" \
      -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.pem
    echo "$folder/ca.pem"
    ;;
  server)
    [ $# -ge 1 ] || fail "server: give the names under which clients reach the broker"
    names=()
    for name in "$@"; do
      [[ $name =~ ^[A-Za-z0-9.:-]+$ ]] || fail "server: $name is neither a host name nor an address"
      if [[ $name =~ ^[0-9.]+$ || $name == *:* ]]; then names+=("IP:$name"); else names+=("DNS:$name"); fi
    done
    issue server "$1" "extendedKeyUsage=serverAuth
subjectAltName=$(IFS=,; echo "${names[*]}")"
    ;;
  van)
    # the characters of van ids: one level of a topic, and nothing that the access list could read as a wildcard
    [[ ${1:-} =~ ^[A-Za-z0-9][A-Za-z0-9-]{0,31}$ ]] || fail "van: ${1:-} is no van id; 1 to 32 letters, digits and -"
    [[ $1 != vantel-* && $1 != ca && $1 != server ]] || fail "van: $1 is a name of a program; give the van another id"
    client "$1"
    ;;
  bridge)
    [[ ${1:-} =~ ^[0-9]{1,3}$ ]] || fail "bridge: give the number of the replica, such as 0"
    client "vantel-bridge-$1"
    ;;
  operator)
    [[ ${1:-} =~ ^(page|operator|campaign)$ ]] || fail "operator: give page, operator or campaign"
    client "vantel-$1"
    ;;
  *) fail "$kind is none of ca, server, van, bridge, operator" ;;
esac
