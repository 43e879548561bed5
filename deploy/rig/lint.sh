#!/usr/bin/env bash
# The linters: format, lint, types of the contract, folder rules, and the contract's generated code and compatibility.
# Runs all of them, so that one run names all faults; ends with status 1 if any failed. Needs a finished set-up.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
failed=0
run() { # name command...
  local name=$1
  shift
  if "$@"; then printf 'lint: %s: fine\n' "$name"; else printf 'lint: %s: FAILED\n' "$name"; failed=1; fi
}
run "ruff format" .venv/bin/ruff format --check --quiet .
run "ruff check" .venv/bin/ruff check --quiet .
run "mypy" .venv/bin/python -m mypy
run "import-linter" .venv/bin/lint-imports
run "proto" proto/check.sh
exit $failed
