#!/bin/sh
# One environment in .venv, exactly the versions of requirements.lock, each checked by its hash.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -m venv --help >/dev/null 2>&1 || ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
  # Debian ships venv apart from the interpreter.
  [ "$(id -u)" = 0 ] || { echo "isthmus: python3-venv is missing: run 'apt-get install python3-venv', then make again" >&2; exit 1; }
  apt-get update -qq && apt-get install -y -qq python3-venv
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install -q --disable-pip-version-check "uv==0.13.8"
# Compiled once here, so that no command compiles it again at its start, whoever may write to the environment.
.venv/bin/uv pip install -q --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock
.venv/bin/uv pip install -q --python .venv/bin/python --no-deps -e .
PYTHON=.venv/bin/python sh scripts/tryton.sh
