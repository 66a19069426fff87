#!/usr/bin/env bash
# The one test command: set-up and tests. Further arguments go to pytest.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # `sh tests/run.sh`
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../src/env.sh"
install requirements.txt tests/requirements.txt
cd "$root"
export OMP_NUM_THREADS=1  # a worker a core: threads of two workers would only wait for each other
"$PY" -m ruff check .
exec "$PY" -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"  # what a file's tests share is made once
