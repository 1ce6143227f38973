# Shared by the scripts of this folder: finds Python, keeps .venv in step with the requirements. POSIX sh.
# The caller has set ROOT (the folder of the code) and NAME (what to call itself in messages).

PYTHON_VERSION_MIN=3.11
VENV="$ROOT/.venv"
PY="$VENV/bin/python"

say() {
    printf '%s: %s\n' "$NAME" "$*" >&2
}

die() {
    status=$1
    shift
    say "$*"
    exit "$status"
}

# Prints the first Python that is new enough.
find_python() {
    for candidate in "${MDDS_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# What .venv must have been made from: a change of any of it makes it stale.
requirements_sum() {
    for file in "$@"; do
        cat "$ROOT/$file"
    done | cksum
    printf '%s\n' "$ROOT"
}

# ensure_venv STAMP FILE...: .venv exists and holds what the requirement files and the client ask for. The last FILE
# that ends in .txt is the one pip installs (requirements-dev.txt includes requirements.txt).
ensure_venv() {
    stamp="$VENV/.installed-$1"
    shift
    wanted=$(requirements_sum "$@" client/pyproject.toml)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$PY" -c '' 2>/dev/null; then
        return 0
    fi
    if ! "$PY" -c '' 2>/dev/null; then
        python=$(find_python) || die 1 "needs Python $PYTHON_VERSION_MIN or later; none found on PATH (or set MDDS_PYTHON)"
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear "$VENV" >"$ROOT/.venv.log" 2>&1 || {
            cat "$ROOT/.venv.log" >&2
            die 1 "cannot make .venv (on Debian: apt-get install python3-venv)"
        }
        mv "$ROOT/.venv.log" "$VENV/make.log"
    fi
    for file in "$@"; do
        last=$file
    done
    say "installing $last and the client into .venv (a minute or two the first time)"
    if ! "$PY" -m pip install --quiet --disable-pip-version-check --no-input \
        -r "$ROOT/$last" -e "$ROOT/client" >"$VENV/install.log" 2>&1; then
        cat "$VENV/install.log" >&2
        die 1 "cannot install the requirements; the text above is pip's"
    fi
    printf '%s\n' "$wanted" >"$stamp"
}

ensure_venv_run() {
    ensure_venv run requirements.txt
}

ensure_venv_dev() {
    ensure_venv dev requirements.txt requirements-dev.txt
    # The larger set contains the smaller one.
    requirements_sum requirements.txt client/pyproject.toml >"$VENV/.installed-run"
}
