# Needs Python >= 3.11 with its venv module, make, and a package registry. The rest is set up here,
# in .venv, once: the stamp files in it say which extras are installed.

VENV ?= .venv
OUT ?= demo-output
PYTEST_ARGS ?=
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)

BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: demo test slow lint types docs bench format clean help
.NOTPARALLEL:

help:
	@echo "make demo     find the anomalies in examples/data/nyc_taxi.csv"
	@echo "make test     run the tests; 'make slow' runs the long ones"
	@echo "make lint     ruff and import-linter; 'make format' rewrites the layout"
	@echo "make types    pyright"
	@echo "make docs     build the documentation into docs/_build"
	@echo "make bench    run the benchmarks"
	@echo "make clean    remove everything that was built, .venv included"

demo: $(VENV)/base
	$(BIN)/biomem detect examples/data/nyc_taxi.csv -o $(OUT)

test: $(VENV)/test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(PYTEST_ARGS)

slow: $(VENV)/test
	$(BIN)/python -m pytest -q -m "slow and not (gpu or cuda_sim or torch or brian2)" $(PYTEST_ARGS)

bench: $(VENV)/test
	$(BIN)/python -m pytest -q tests/benchmarks --benchmark-enable --benchmark-only -s

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/dev
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) demo-output build dist docs/_build docs/api .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "biomem needs Python 3.11 or newer with its venv module, and" \
	  "neither python3.11 nor python3 is one. Install it (on Debian: python3.11 python3.11-venv)," \
	  "or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/base: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/test $(VENV)/dev $(VENV)/docs: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[$(@F)]"
	@touch $(VENV)/base $@
