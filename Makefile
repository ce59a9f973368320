# Works from a clean clone with Python 3.11 or newer and make; everything else comes into .venv, pinned by hash.

PYTHON ?= python3
ARGS ?=
UV_VERSION := 0.13.9
JOBS := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)

BIN := .venv/bin
STAMP := .venv/stamp
UV := .venv-tools/bin/uv
COMPILE := --no-config --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'

export PYTHONDONTWRITEBYTECODE ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## list the targets
	@echo 'Usage: make TARGET [ARGS="..."] [PYTHON=python3.13]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(STAMP) ## run the whole service here, no AWS account needed (ARGS: options of the demo)
	@$(BIN)/email-processor demo $(ARGS)

.PHONY: test
test: $(STAMP) ## run all tests with the coverage gate (ARGS="-k sender": some of them, without the gate)
	@$(BIN)/pytest -n $(JOBS) --dist worksteal $(if $(strip $(ARGS)),$(ARGS),--cov --cov-report=term)

.PHONY: check
check: format lint types imports docs-check yaml security ## everything but the tests: format, lint, types, imports, docs, YAML, security

.PHONY: fmt
fmt: $(STAMP) ## format the code and apply the safe fixes
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

.PHONY: format
format: $(STAMP)
	@$(BIN)/ruff format --check .

.PHONY: lint
lint: $(STAMP) ## ruff, all rules
	@$(BIN)/ruff check .

.PHONY: types
types: $(STAMP) ## mypy, strict
	@$(BIN)/mypy

.PHONY: imports
imports: $(STAMP) ## the layers and the other import contracts
	@$(BIN)/lint-imports --no-logo

.PHONY: docs
docs: $(STAMP) ## write the tables in the docs from the code
	@$(BIN)/python docs/tables.py

.PHONY: docs-check
docs-check: $(STAMP)
	@$(BIN)/python docs/tables.py --check

.PHONY: yaml
yaml: $(STAMP)
	@$(BIN)/yamllint --strict .

.PHONY: security
security: $(STAMP)
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src

.PHONY: lock
lock: $(UV) ## write .ci/pins anew from pyproject.toml (ARGS=--upgrade: with newer releases)
	@$(UV) pip compile $(COMPILE) $(ARGS) --output-file .ci/pins/runtime.txt pyproject.toml >/dev/null
	@$(UV) pip compile $(COMPILE) $(ARGS) --constraint .ci/pins/runtime.txt --extra demo --group dev \
		--output-file .ci/pins/dev.txt pyproject.toml >/dev/null
	@echo 'Wrote .ci/pins/runtime.txt and .ci/pins/dev.txt'

.PHONY: clean
clean: ## remove everything that make made
	@rm -rf .venv .venv.lock .venv-tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis \
		.coverage .coverage.* htmlcov dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: python
python:
	@command -v $(PYTHON) >/dev/null || { \
		echo 'error: no "$(PYTHON)" here; install Python 3.11 or newer, or name it: make PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Python 3.11 or newer is needed, this is $$($(PYTHON) --version 2>&1); name another: make PYTHON=python3.13" >&2; exit 1; }

$(STAMP): .ci/pins/dev.txt .ci/environment.py pyproject.toml src/email_processor/__init__.py | python
	@$(PYTHON) .ci/environment.py


$(UV): Makefile | python
	@$(PYTHON) -m venv .venv-tools
	@.venv-tools/bin/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@
