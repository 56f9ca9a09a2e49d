# isthmus: the commands of the house. `make` alone prints this help.
PY := .venv/bin/python
RUN := .venv/bin/
# Some build machines forbid it, and then every process compiles all it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test check doubts simulate properties cleared bench screenshots requirements lock clean
help: ## print this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

.venv/.ready: requirements.lock tryton.lock pyproject.toml scripts/setup.sh scripts/tryton.sh
	@sh scripts/setup.sh
	@touch $@

setup: .venv/.ready ## install everything into .venv from the lock file

demo: .venv/.ready ## a month of a small consulting firm, from won deal to paid invoice; then its console
	@$(RUN)isthmus demo

check: .venv/.ready ## fast checks: style, types, rooms, pure tests (under 30 s)
	@$(RUN)ruff check . && $(RUN)ruff format --check . && $(RUN)mypy && $(RUN)lint-imports
	@$(RUN)pytest -q -n 2 tests/domain tests/policies tests/house

test: .venv/.ready ## the whole suite: checks, sandboxes, processes, simulation, kill -9
	@$(RUN)ruff check . && $(RUN)ruff format --check . && $(RUN)mypy && $(RUN)lint-imports
	@ISTHMUS_OUTCOMES=$${ISTHMUS_OUTCOMES:-50} $(RUN)pytest -n 2 --dist loadgroup

OUTCOMES ?= 1000
doubts: .venv/.ready ## make doubts OUTCOMES=1000: unknown outcomes of every verb of every connector, one table
	@ISTHMUS_OUTCOMES=$(OUTCOMES) $(RUN)pytest -q -m slow tests/connectors/test_conformance.py

SEEDS ?= 100000
simulate: .venv/.ready ## make simulate SEEDS=100000: seeded worlds under faults
	@$(PY) -m tests.simulation --seeds $(SEEDS)

EXAMPLES ?= 500
CONTRACTS ?= 10000
properties: .venv/.ready ## make properties EXAMPLES=500 CONTRACTS=10000: histories audited, contracts recomputed
	@ISTHMUS_EXAMPLES=$(EXAMPLES) ISTHMUS_CONTRACTS=$(CONTRACTS) $(RUN)pytest -q -s --timeout 7200 tests/properties

FAILURES ?= 504
cleared: .venv/.ready ## make cleared FAILURES=504: failures of six causes at the sandboxes, cleared by hand and by cause
	@ISTHMUS_FAILURES=$(FAILURES) $(RUN)pytest -q -s tests/console/test_cleared.py | grep -v "debug  "

bench: .venv/.ready ## figures beside the raw limits of this machine, in one run; SECTIONS="month project" for some
	@$(PY) -m benchmarks $(SECTIONS)

screenshots: .venv/.ready ## every page of the console into docs/, from the demo's data (needs Debian's chromium)
	@$(PY) scripts/screenshots.py

requirements: .venv/.ready ## which requirement ids a passing test shows
	@$(PY) scripts/requirements.py

lock: ## resolve pyproject.toml again and write requirements.lock and tryton.lock
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --extra dev --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --group tryton --generate-hashes --no-header --no-annotate -o tryton.lock

clean: ## remove the environment and the embedded data of demo and tests
	@rm -rf .venv .isthmus
