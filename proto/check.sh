#!/usr/bin/env bash
# Contract checks: generated code equals the committed one, lint, and no breaking change against the released descriptor set.
set -euo pipefail
cd "$(dirname "$0")"
bin=$(cd ../.venv/bin && pwd)
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
PYTHON=$bin/python ./generate.sh "$fresh"
for file in vantel/telemetry/v1/*_pb2.py vantel/telemetry/v1/*_pb2.pyi; do
  diff -q "$file" "$fresh/$file" >/dev/null || { echo "proto: $file is not what generate.sh makes; run proto/generate.sh and commit" >&2; exit 1; }
done
"$bin/buf" lint
"$bin/buf" breaking --against released-v1.binpb
echo "proto: generated code, lint and compatibility are fine"
