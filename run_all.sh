#!/usr/bin/env bash
# From official files to submission files: bash run_all.sh [image|video|studies|representations|all] [--force] [--from expNNN] [--list] [--help]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/src/env.sh"
install requirements.txt
export SMP_PROFILE=${SMP_PROFILE:-$("$PY" -c 'from smp.paths import profile; print(profile())')}
exec "$PY" -m smp.stages "$@"
