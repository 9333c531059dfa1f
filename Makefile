# The front door. `make up` runs the platform, `make test` proves it; both set the environment up first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell tools/find-python)

# uv trusts the certificates of the system, as pip and curl do, and never fetches an interpreter.
export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never

.PHONY: help setup gen lint format types test soak killtest fuzz jaeger up down bench lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */  make \1\t/' | expand -t 16

setup: $(READY) ## create .venv with the locked dependencies and this project in it

# Runs again only when what it installs has changed. Everything is pinned by hash; uv is in the lock itself.
$(READY): pyproject.toml requirements/uv.txt requirements/build.txt requirements/dev.txt
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { echo "fxmesh needs Python 3.11 or newer on PATH (or: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11)" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "could not create $(VENV): on Debian and Ubuntu, install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/build.txt -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

gen: $(READY) ## protos/ -> gen/ (needs npm once, for buf)
	$(BIN)/python tools/contracts.py generate

lint: $(READY) ## ruff, import directions, buf
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/contracts.py lint
	$(BIN)/python tools/contracts.py breaking
	$(BIN)/lint-imports

format: $(READY) ## rewrite Python and protos in the agreed format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/python tools/contracts.py format

types: $(READY) ## mypy, strict
	$(BIN)/mypy

# PYTEST_ARGS narrows a run: make test PYTEST_ARGS="tests/quant -x". JOBS: in so many processes.
test: $(READY) ## every test that needs no special hardware
	$(BIN)/python -m pytest $(if $(JOBS),-n $(JOBS) --dist loadfile --no-loadscope-reorder) $(PYTEST_ARGS)

# Load and faults drawn from a seed over a whole platform, then a verdict: make soak SEED=7 MINUTES=30
soak: $(READY) ## faults and load over a platform, from SEED, for MINUTES (5)
	$(BIN)/python -m tests.soak $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),5)

# Kills the real process KILLS times, ends CRASHES processes inside one: make killtest SEED=7 KILLS=100 CRASHES=1000
killtest: $(READY) ## trading dies a thousand times; no order, fill or event may be lost or doubled
	$(BIN)/python -m tests.kill $(if $(SEED),--seed $(SEED)) --kills $(or $(KILLS),1000) --crashes $(or $(CRASHES),10000)

# FXMESH_FUZZ_EXAMPLES is how many requests each method gets, of each kind
fuzz: $(READY) ## many requests to every method: make fuzz EXAMPLES=1000 SEED=7
	FXMESH_FUZZ_EXAMPLES=$(or $(EXAMPLES),500) $(if $(SEED),FXMESH_FUZZ_SEED=$(SEED)) $(BIN)/python -m pytest tests/faults/test_fuzz.py

up: $(READY) ## start the platform; Ctrl-C stops it
	$(BIN)/fxmesh up

down: $(READY) ## stop a platform that runs in the background
	$(BIN)/fxmesh down

jaeger: ## build Jaeger into .tools for the test that asks it (needs Go; takes minutes, once)
	tools/jaeger

bench: $(READY) ## benchmarks, each a script that prints its figures
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.txt
	$(BIN)/python -m bench.mesh
	$(BIN)/python -m bench.trading
	for script in bench/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script; done

lock: $(READY) ## resolve the dependencies anew into requirements/
	$(BIN)/python tools/lock.py

clean: ## remove the environment, fetched tools and caches; data of a platform (.fxmesh) stays
	rm -rf $(VENV) .tools .tox third_party build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
