# Two commands: make demo, make test. Each makes its own .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
DEMO_STORE ?= demo-store
# Processes that share the tests, each with one thread of linear algebra.
WORKERS ?= 2
SHARED := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(WORKERS) --dist loadfile

.PHONY: demo test test-all check bench clean

demo: .venv/demo.stamp
	$(BIN)/embedstore demo $(DEMO_STORE)

test: .venv/dev.stamp
	$(SHARED) -m "not slow and not gpu"

test-all: .venv/dev.stamp
	$(SHARED)

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/bench.stamp
	$(BIN)/pytest tests/benchmarks --benchmark-only -q

clean:
	rm -rf .venv $(DEMO_STORE) build dist *.egg-info

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "embedstore needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/demo.stamp: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[encode,demo]'
	touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[encode,demo,dev,remote]'
	$(BIN)/python -m pip install -q --no-deps 'imagenet-x>=0.0.7'  # for its annotations alone
	touch $@

.venv/bench.stamp: .venv/dev.stamp
	$(BIN)/python -m pip install -q -e '.[bench]'
	touch $@
