# Every target sets up .venv by itself when it is missing or older than the lock file.
.PHONY: demo test test-long test-ui dev check bench lock install clean
.SHELLFLAGS := -euo pipefail -c
SHELL := /bin/bash

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# what T names, else everything
T ?= market_data_tests

install: $(STAMP)

$(STAMP): docker/constraints-dev.txt pyproject.toml
	@found=""; \
	for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	  if $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$name; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "market_data needs Python 3.11 or newer with venv, and none was found on PATH."; \
	  echo "Install one, for example: apt-get install python3 python3-venv, or brew install python, or see python.org/downloads."; \
	  exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$found --version): about a minute."; \
	rm -rf $(VENV); $$found -m venv $(VENV)
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --require-hashes -r docker/constraints-dev.txt
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	@$(VENV)/bin/market-data demo

# The UI on the demo's lake and runs; set MARKET_DATA_VENDOR=tardis (and TARDIS_API_KEY) for the real vendor.
dev: $(STAMP)
	@$(VENV)/bin/market-data dev

test: $(STAMP)
	@$(PYTHON) -m pytest $(T)

test-long: $(STAMP)
	@$(PYTHON) -m pytest -m long $(T)

# Drives the UI in Chromium, which must be on PATH; screenshots go to .market_data/ui.
test-ui: $(STAMP)
	@$(PYTHON) -m pytest -m ui -s market_data_tests/ui

check: $(STAMP)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

# All benchmarks, or what BENCH says: make bench BENCH='venue_day_over_bare --quick'. Results: .market_data/bench.json.
bench: $(STAMP)
	@$(PYTHON) -m market_data_tests.benchmarks $(BENCH)

# Both lock files hold versions and hashes and no address of any package index.
COMPILE = $(VENV)/bin/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade
lock: $(STAMP)
	$(COMPILE) --extra engines --extra dev -o docker/constraints-dev.txt
	$(COMPILE) --extra engines --constraints docker/constraints-dev.txt -o docker/constraints.txt

clean:
	rm -rf $(VENV) .market_data .pytest_cache .mypy_cache .ruff_cache .hypothesis
