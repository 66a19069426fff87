# Sourced by run_all.sh and tests/run.sh: finds or makes the Python environment, installs what is required once, sets $PY.
# PYTHON=/path/to/python overrides; an active virtual or conda environment is used as it is; else .venv is made.
case $(uname) in MINGW* | MSYS* | CYGWIN*)
    echo "error: smp locks what it writes in the way of POSIX, which Windows has not; run it in WSL (Ubuntu)" >&2
    exit 1
    ;;
esac
unset CDPATH  # with it cd prints where it goes
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

is_suitable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [ -n "${PYTHON:-}" ]; then
    PY=$PYTHON
    case $PY in [!/]*/*) PY=$PWD/$PY ;; esac  # a relative path stays what it is when the folder changes
elif [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && is_suitable python; then
    PY=python
else
    PY=$root/.venv/bin/python
    if ! is_suitable "$PY"; then
        base=$(for p in python3.13 python3.12 python3.11 python3; do is_suitable "$p" && echo "$p" && break; done)
        [ -n "$base" ] || { echo "error: Python 3.11 or newer is needed; install it or set PYTHON=/path/to/python" >&2; exit 1; }
        echo "making $root/.venv with $base" >&2
        "$base" -m venv --clear "$root/.venv"
    fi
fi
is_suitable "$PY" || { echo "error: PYTHON=$PY is not Python 3.11 or newer" >&2; exit 1; }

# install FILE...: pip install the requirement files, unless this environment had exactly these from this checkout.
install() {
    local key stamp
    key=$(cd "$root" && cat pyproject.toml "$@" | cksum)
    stamp=$("$PY" -c 'import sys; print(sys.prefix)')/.smp-$(echo "$root $*" | cksum | tr ' ' '-')
    [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && return
    echo "installing $* (the first time takes minutes)" >&2
    (cd "$root" && "$PY" -m pip install --quiet $(printf -- '-r %s ' "$@")) || {
        echo "error: installing $* failed; the lines above say why" >&2
        exit 1
    }
    echo "$key" >"$stamp"
}
