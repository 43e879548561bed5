#!/usr/bin/env bash
# Regenerates the committed Python code and the descriptor set of the contract. `check.sh` fails when they drift.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-../.venv/bin/python}
"$python" -m grpc_tools.protoc -I . --python_out="${1:-.}" --pyi_out="${1:-.}" \
  --include_imports --include_source_info --descriptor_set_out="${2:-/dev/null}" vantel/telemetry/v1/*.proto
