# make demo    run the tour, write build/tour.html, open JupyterLab (LAB=0: do not open it)
# make test    everything that is checked
# make lint js bench format clean    parts of it
#
# Each step leaves a stamp, so that doing it again costs nothing until its inputs change.

SHELL := /bin/bash
PYTHON ?= python3
LAB ?= 1

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
NPM := $(shell command -v npm 2>/dev/null)
BUNDLE := nbcnnviz/static/standalone.js

# The folders too: a deleted or renamed file changes its folder's time.
JS_SOURCES := $(shell find js/src) js/build.mjs js/tsconfig.json js/package.json

export PYTHONUNBUFFERED := 1

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint js bench format clean chromium lint-python lint-js test-js test-python

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/demo.stamp
	LAB=$(LAB) $(BIN)/python scripts/run_tour.py

# pytest comes last, its summary is the last line. `make -k test` goes on after a failure.
test: lint test-js chromium test-python

lint: lint-python lint-js

lint-python: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-js: js/node_modules/.stamp
	npm --prefix js run --silent check

js: $(BUNDLE)

test-js: $(BUNDLE) js/node_modules/.stamp
	npm --prefix js test

test-python: $(BUNDLE) $(VENV)/test.stamp
	$(BIN)/python -m pytest

chromium: $(VENV)/test.stamp
	$(BIN)/python scripts/find_chromium.py --install

bench: $(BUNDLE) $(VENV)/test.stamp
	@failed=0; for file in tests/benchmarks/bench_*.py; do \
	  $(BIN)/python $$file || failed=1; \
	done; exit $$failed

format: $(VENV)/test.stamp js/node_modules/.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	npm --prefix js run --silent format

# Leaves .venv alone: it takes minutes to fill. Delete it by hand to start afresh.
clean:
	rm -rf build dist js/build js/node_modules nbcnnviz/static .pytest_cache .mypy_cache .ruff_cache .hypothesis test-results
	find nbcnnviz tests scripts -name __pycache__ -prune -exec rm -rf {} +

# -- the Python environment --------------------------------------------------------------------

$(VENV)/base.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "nbcnnviz needs Python 3.10 or later: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m pip install --user virtualenv && $(PYTHON) -m virtualenv $(VENV); }
	touch $@

# The bundle is only waited for, it makes no new installation: the package is used in place.
$(VENV)/demo.stamp: pyproject.toml hatch_build.py $(VENV)/base.stamp | $(BUNDLE)
	$(PIP) install --quiet --editable '.[demo]'
	touch $@

$(VENV)/test.stamp: pyproject.toml hatch_build.py $(VENV)/base.stamp | $(BUNDLE)
	$(PIP) install --quiet --editable '.[demo,test]'
	touch $@ $(VENV)/demo.stamp

# -- the JavaScript ----------------------------------------------------------------------------

ifneq ($(NPM),)
js/node_modules/.stamp: js/package-lock.json
	cd js && npm ci --no-audit --no-fund
	touch $@

$(BUNDLE): $(JS_SOURCES) js/node_modules/.stamp
	npm --prefix js run --silent build
else
js/node_modules/.stamp:
	@echo "npm was not found: install Node 20 or later." >&2; exit 1

# What is there already is used.
$(BUNDLE):
	@echo "The JavaScript is not built and npm was not found: install Node 20 or later." >&2; exit 1
endif
