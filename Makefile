# Every target sets up .venv by itself when it is missing or older than the lock file.
.PHONY: help demo dev test coverage test-long test-ui check fmt bench lock upgrade install clean
.DEFAULT_GOAL := help
.SHELLFLAGS := -euo pipefail -c
SHELL := /bin/bash

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# what T names, else everything
T ?= market_data_tests

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## set up .venv (the others do so by themselves)

# Exactly what the lock file says, and nothing that an index says today: without --no-deps an installer asks the index about
# each requirement of a requirement, and versions of pip differ in what they then refuse; what is built from source asks it
# for a builder. The installer itself is locked, since any pip may come with Python.
INSTALL = $(PYTHON) -m pip install -qq --disable-pip-version-check --no-deps
LOCKED = --require-hashes --only-binary :all:
# What would send an install elsewhere or change what it takes; where an index is, and its certificates, stays yours.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_DRY_RUN PIP_CONSTRAINT PIP_REQUIREMENT PIP_NO_BINARY PIP_NO_DEPS \
	PIP_IGNORE_INSTALLED PIP_UPGRADE PIP_PYTHON PYTHONHOME PYTHONPATH

$(STAMP): docker/installer.txt docker/constraints-dev.txt pyproject.toml
	@found=""; \
	for name in python3.13 python3.12 python3.11 python3.14 python3; do \
	  if $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$name; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "market_data needs Python 3.11 or newer with venv, and none was found on PATH."; \
	  echo "Install one, for example: apt-get install python3 python3-venv, or brew install python, or see python.org/downloads."; \
	  exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$found --version): about a minute."; \
	rm -rf $(VENV); $$found -m venv $(VENV)
	@$(INSTALL) $(LOCKED) -r docker/installer.txt
	@$(INSTALL) $(LOCKED) -r docker/constraints-dev.txt
	@$(INSTALL) --no-build-isolation -e .
	@$(PYTHON) -m pip check
	@touch $@

demo: $(STAMP) ## fill a local lake from the embedded simulator: no key, no cloud
	@$(VENV)/bin/market-data demo

# The UI on the demo's lake and runs; set MARKET_DATA_VENDOR=tardis (and TARDIS_API_KEY) for the real vendor.
dev: $(STAMP) ## the UI of Dagster on what the settings name (after a demo: on the demo)
	@$(VENV)/bin/market-data dev

# The whole suite on three processes, each file on one of them: tests of a file share servers, daemons and lakes. Three
# for two cores, since some files mostly wait for processes of their own (conftest.py has those first). In the order of
# the files, since small ones at the end keep all busy. A single file is faster without.
PARALLEL = $(if $(filter market_data_tests,$(T)),-n 3 --dist loadfile --no-loadscope-reorder)

# Its many processes keep what they compile for the next ones, also where the environment says otherwise.
test: $(STAMP) ## everything but what is long (T=path for one file)
	@env -u PYTHONDONTWRITEBYTECODE $(PYTHON) -m pytest $(PARALLEL) $(T)

# The lines and branches of the product that the suite goes through; below the floor in pyproject.toml it fails.
coverage: $(STAMP) ## the suite again, with what it covers of the product
	@rm -f .market_data/coverage*; mkdir -p .market_data
	@$(PYTHON) -m coverage run -m pytest $(PARALLEL) $(T)
	@$(PYTHON) -m coverage combine -q
	@$(PYTHON) -m coverage report

# What takes minutes, and what describes Dagster itself.
test-long: $(STAMP) ## what takes minutes, and what describes Dagster itself
	@$(PYTHON) -m pytest -m "long or dagster" $(T)

# Drives the UI in Chromium, which must be on PATH; screenshots go to .market_data/ui.
test-ui: $(STAMP) ## drive the UI in Chromium
	@$(PYTHON) -m pytest -m ui -s market_data_tests/ui

check: $(STAMP) ## ruff and mypy
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

fmt: $(STAMP) ## format, and mend what can be mended
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

# All benchmarks, or what BENCH says: make bench BENCH='venue_day_over_bare --quick'. Results: .market_data/bench.json.
bench: $(STAMP) ## measure, as ratios (BENCH=name for one)
	@$(PYTHON) -m market_data_tests.benchmarks $(BENCH)

# The lock files hold versions and hashes and no address of any package index. What is locked stays as it is where
# pyproject.toml still allows it; `make upgrade` takes the newest of everything, the installer too.
COMPILE = $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --only-binary :all: \
	--no-strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(UPGRADE)
lock: $(VENV)/bin/uv ## bring the lock files up to pyproject.toml
	echo pip | $(COMPILE) - -o docker/installer.txt
	$(COMPILE) pyproject.toml --extra pipeline --extra engines --extra dev -o docker/constraints-dev.txt
	$(COMPILE) pyproject.toml --extra pipeline --extra engines --constraints docker/constraints-dev.txt -o docker/constraints.txt

# whatever its state: an environment that is older than a changed pyproject.toml still has the program that locks
$(VENV)/bin/uv:
	@$(MAKE) install

upgrade: UPGRADE = --upgrade
upgrade: lock ## the same, with the newest of everything

clean: ## remove .venv, the demo and all caches
	rm -rf $(VENV) .market_data .pytest_cache .mypy_cache .ruff_cache .hypothesis
