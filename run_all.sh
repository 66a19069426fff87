#!/usr/bin/env bash
# From official files to submission files: bash run_all.sh [TRACK|representations|studies|systems|all] [--help]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # `sh run_all.sh`
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/src/env.sh"
install requirements.txt
exec "$PY" -m smp.stages "$@"
