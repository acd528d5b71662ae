#!/usr/bin/env bash
# Makes the virtual environment: `setup.sh VENV MEMBER…`. Run by `make setup`, which knows when it is needed.
set -euo pipefail

venv=$1
shift

find_python() {
    local candidate
    for candidate in "${PYTHON3:-python3}" python3.{11,12,13,14} python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "error: no Python 3.11 or newer with its venv module found: install one (on Debian: python3 python3-venv)." >&2
    return 1
}

python=$(find_python)
echo "Setting up $venv with $("$python" --version) ($python)."
# A broken or older one is replaced: half an environment explains itself badly.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --clear "$venv"
fi
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input "$@"; }
pip install --require-hashes --requirement requirements/dev.txt
pip install --no-deps --no-build-isolation "${@/#/--editable=./}"
