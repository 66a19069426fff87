#!/usr/bin/env bash
# Runs the README's commands as they stand, each block in a fresh shell, on a small demo: bash tests/readme.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
places=(SMP_INPUT=demo SMP_OUTPUT="$work/output" SMP_SUBMISSIONS="$work/submissions")
fresh() { env -i HOME="$HOME" PATH="$PATH" "${places[@]}" SMP_DEMO_POSTS="${SMP_DEMO_POSTS:-600}" SMP_PROFILE=small "$@"; }
awk -v work="$work" '/^```bash/ {n++; inside = 1; next} /^```/ {inside = 0} inside {print > (work "/block" n ".sh")}' README.md
for block in "$work"/block*.sh; do
    echo "--- $(tr '\n' ';' <"$block")"
    fresh bash -euo pipefail "$block" || { echo "error: the README's commands above end with exit code $?" >&2; exit 1; }
done
