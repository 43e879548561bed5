#!/usr/bin/env bash
# Secrets and certificates of the compose stack, made once: prepare.sh BROKER_FILES TARGET
# Into TARGET come the broker's configuration and access list, a CA, the certificates of broker, bridge and three vans,
# the token of InfluxDB and the first passwords of InfluxDB, Grafana and the page. What is there is kept.
set -euo pipefail
broker=$1 target=$2
make() { "$broker/make_certificates.sh" "$target" "$@"; }

mkdir -p "$target"
make ca
make server mosquitto localhost 127.0.0.1
make bridge 0
make operator page
for van in van-1 van-2 van-3; do make van "$van"; done
for secret in influx.token influx.password grafana.password page.password; do
  # readable for the servers' own users, who alone have this volume
  [ -s "$target/$secret" ] || (umask 022 && openssl rand -hex 24 >"$target/$secret.new" && mv "$target/$secret.new" "$target/$secret")
done
[ -s "$target/page.htpasswd" ] || {
  printf 'vantel:%s\n' "$(openssl passwd -apr1 -in "$target/page.password")" >"$target/page.htpasswd.new"
  mv "$target/page.htpasswd.new" "$target/page.htpasswd"
}
cp "$broker/mosquitto.conf" "$broker/acl" "$target/"
chmod 0755 "$target"
chmod 0600 "$target/acl"
