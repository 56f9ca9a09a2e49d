#!/bin/sh
# Tryton, a real ERP to test against, in an environment of its own inside .venv: exactly the versions of tryton.lock.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
environment=$("$python" -c 'import sys; print(sys.prefix)')
uv="$environment/bin/uv"
[ -x "$environment/tryton/bin/python" ] || "$uv" venv -q --python "$python" "$environment/tryton"
"$uv" pip install -q --compile-bytecode --python "$environment/tryton/bin/python" --require-hashes -r tryton.lock
