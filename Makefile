# Works from a clean clone with Python 3.11 or newer and make; everything else comes into .venv, pinned by hash.

PYTHON ?= python3
# The benchmark's is the image's, where the machine has it.
BENCH_PYTHON ?= $(shell PYENV_VERSION=3.13 python3.13 -c 'import sys; print(sys.executable)' 2>/dev/null || echo $(PYTHON))
# The first here that is new enough for the Java peer.
BENCH_JDK ?= $(shell for jdk in "$${JAVA_HOME:-/usr}" /usr/lib/jvm/*; do \
	"$$jdk/bin/javac" --release 25 --version >/dev/null 2>&1 && echo "$$jdk" && break; done)
ARGS ?=
UV_VERSION := 0.13.9
CORES := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
JOBS := $(shell expr 2 \* $(CORES))  # half of the tests wait for another process
SEEDS ?= 0:100000
FRESH_SEEDS ?= fresh:200
SIMULATED := tests/simulation tests/unit/bench/test_limiters.py  # in virtual time; four times as slow with coverage

CLUSTER_CHECKS := $(addprefix tests/cluster/,rollouts.py objects.py on_call.py alerts.py)

BIN := .venv/bin
STAMP := .venv/stamp
DEPLOY_BIN := .venv-deploy/bin
DEPLOY_STAMP := .venv-deploy/stamp
UV := .venv-tools/bin/uv
COMPILE := --no-config --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'

export PYTHONDONTWRITEBYTECODE ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

##@ See it

.PHONY: demo
demo: $(STAMP) ## run the whole service here, no AWS account needed (ARGS: options of the demo)
	@$(BIN)/email-processor demo $(ARGS)

.PHONY: help
help: ## list the targets, and say what to run after a change
	@echo 'Usage: make TARGET [ARGS="..."] [PYTHON=python3.13]'
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'After a change: make fmt, make generate, then make check test. CONTRIBUTING.md says more.'
	@echo 'The first target that needs an environment makes it, from pins with hashes: it says how far it is.'

##@ Test and check it

.PHONY: test
test: $(STAMP) ## run all tests and hold the coverage to its bound (ARGS="-k sender": only some of them)
ifeq ($(strip $(ARGS)),)
	@failed=; \
	echo 'Simulated bad days, without coverage:'; \
	$(BIN)/pytest -n $(CORES) --dist worksteal -q $(SIMULATED) || failed='simulated bad days'; \
	echo 'All other tests:'; \
	$(BIN)/pytest -n $(JOBS) --dist worksteal --ignore=tests/deploy $(SIMULATED:%=--ignore=%) --cov --cov-report=term \
		|| failed="$${failed:+$$failed, }all other tests"; \
	echo 'Fresh bad days, which nobody has played (reported, and not yet part of the verdict):'; \
	$(BIN)/python -m tests.simulation --seeds $(FRESH_SEEDS) --report-only || failed="$${failed:+$$failed, }fresh bad days"; \
	test -z "$$failed" || { echo "FAILED: $$failed" >&2; exit 1; }
else
	@$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)
endif

.PHONY: soak
soak: $(STAMP) ## play simulated bad days, in virtual time, for as long as you like (SEEDS=0:100000)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

.PHONY: servers
servers: $(STAMP) ## how independent servers fare, where their toolchains are at hand: writes docs/servers.md (ARGS="--mails 2000")
	@$(BIN)/python -m scripts.servers $(ARGS)

.PHONY: check
check: format lint types imports docs-check yaml security deploy-check ## all that follow down to deploy-check: everything but the tests

.PHONY: format
format: $(STAMP) ## whether the code is formatted; `make fmt` formats it
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

.PHONY: docs-check
docs-check: $(STAMP) ## whether the tables in the docs say what the code says
	@$(BIN)/python -m scripts.tables --check

.PHONY: yaml
yaml: $(STAMP) ## yamllint on every YAML file that is not a template
	@$(BIN)/yamllint --strict .

.PHONY: security
security: $(STAMP) ## bandit on the code, pip-audit on what is shipped
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src
	@$(BIN)/python -m scripts.audit

.PHONY: deploy-check
deploy-check: $(STAMP) $(DEPLOY_STAMP) ## image, workflows, chart, manifests, alerts and templates: linted, valid, in sync
	@$(BIN)/python -m scripts.chart --check
	@$(BIN)/python -m scripts.dashboard --check
	@$(BIN)/python -m scripts.manifests --check
	@$(DEPLOY_BIN)/hadolint Dockerfile
	@$(DEPLOY_BIN)/zizmor --offline --no-progress --quiet .github
	@for helm in helm3 helm4; do for values in helm/email-processor/ci/*.yaml; do \
		$(DEPLOY_BIN)/$$helm lint --strict --quiet helm/email-processor --values $$values || exit 1; done; done
	@$(DEPLOY_BIN)/promtool check rules --lint-fatal helm/email-processor/files/alerts.yaml >/dev/null
	@$(DEPLOY_BIN)/promtool test rules tests/deploy/alerts.yaml tests/deploy/alerts_slow.yaml
	@$(DEPLOY_BIN)/cfn-lint infra/cloudformation/*.yaml
	@$(DEPLOY_BIN)/checkov --config-file .ci/checkov.yaml
	@if command -v terraform >/dev/null; then terraform fmt -check -diff -recursive infra/terraform; \
		else echo 'note: no terraform here, so the format of infra/terraform was not checked' >&2; fi
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -q tests/deploy

.PHONY: image-check
image-check: $(STAMP) ## build the image and run it as the pod does (ENGINE="podman ...": not docker)
	@ENGINE="$(ENGINE)" RUN_OPTIONS="$(RUN_OPTIONS)" $(BIN)/pytest --timeout=600 tests/deploy/image.py

.PHONY: terraform-check
terraform-check: $(STAMP) ## validate infra/terraform, apply it in an emulator and run the service there (needs terraform)
	@$(BIN)/pytest --timeout=600 tests/deploy/terraform.py

.PHONY: cluster-check
cluster-check: $(STAMP) $(DEPLOY_STAMP) ## install, upgrade, drain and break it in the cluster of KUBECONFIG (IMAGE, AWS_IMAGE: docs/cluster.md)
	@IMAGE="$(IMAGE)" AWS_IMAGE="$(AWS_IMAGE)" $(BIN)/pytest $(ARGS) $(CLUSTER_CHECKS)

##@ Write what a change asks for

.PHONY: fmt
fmt: $(STAMP) ## format the code and apply the safe fixes
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

.PHONY: generate
generate: docs chart manifests ## write everything that is made from the code: tables, chart, dashboard, manifests

.PHONY: docs
docs: $(STAMP) ## part of generate: the tables in README and docs
	@$(BIN)/python -m scripts.tables

.PHONY: chart
chart: $(STAMP) ## part of generate: the chart's settings, .env.example and the dashboard
	@$(BIN)/python -m scripts.chart
	@$(BIN)/python -m scripts.dashboard

.PHONY: manifests
manifests: $(STAMP) $(DEPLOY_STAMP) ## part of generate: infra/kubernetes-manifests, rendered from the chart
	@$(BIN)/python -m scripts.manifests

.PHONY: lock
lock: $(UV) ## write .ci/pins anew from pyproject.toml (ARGS=--upgrade: with newer releases)
	@$(UV) pip compile $(COMPILE) $(ARGS) --output-file .ci/pins/runtime.txt pyproject.toml >/dev/null
	@$(UV) pip compile $(COMPILE) $(ARGS) --constraint .ci/pins/runtime.txt --extra demo --group dev \
		--output-file .ci/pins/dev.txt pyproject.toml >/dev/null
	@$(UV) pip compile $(COMPILE) $(ARGS) --constraint .ci/pins/dev.txt --group bench \
		--output-file .ci/pins/bench.txt pyproject.toml >/dev/null
	@$(UV) pip compile $(COMPILE) $(ARGS) --output-file .ci/pins/deploy.txt .ci/pins/deploy.in >/dev/null
	@$(UV) pip compile $(COMPILE) $(ARGS) --no-deps --output-file .ci/pins/helm.txt .ci/pins/helm.in >/dev/null
	@echo 'Wrote .ci/pins/*.txt'

.PHONY: release
release: $(STAMP) ## build all that a release is made of into dist/, the same bytes from the same commit (TAG=v1.0.0: only as that)
	@$(BIN)/python -m scripts.release $(TAG)

##@ Measure it

.PHONY: bench
bench: .venv-bench/stamp bench-peers ## measure it against its peers in a few minutes (ARGS=--full: everything, half an hour)
	@.venv-bench/bin/python -m bench $(ARGS)

.PHONY: bench-archive
bench-archive: $(STAMP) ## measure the commands on the archive by their bars, in five minutes (ARGS="find-month": only that)
	@$(BIN)/python -m bench.archive $(ARGS)

.PHONY: bench-peers
bench-peers: ## build the peers in Go, Rust and Java that it is measured against, minutes the first time
	@! command -v go >/dev/null || for peer in go bento; do \
		go build -C bench/peers/$$peer -o $(CURDIR)/.bench-peers/$$peer . || \
		echo "go could not build bench/peers/$$peer: that peer is skipped" >&2; done
	@! command -v cargo >/dev/null || cargo build --release --quiet --manifest-path bench/peers/rust/Cargo.toml \
		--target-dir .bench-peers/rust || echo 'cargo could not build bench/peers/rust: that peer is skipped' >&2
	@! command -v mvn >/dev/null || test ! -d "$(BENCH_JDK)" || { \
		JAVA_HOME="$(BENCH_JDK)" MAVEN_OPTS=--sun-misc-unsafe-memory-access=allow \
		mvn --quiet --batch-mode --file bench/peers/java/pom.xml compile && \
		ln -sfn "$(BENCH_JDK)" .bench-peers/java/jdk; } || \
		echo 'mvn could not build bench/peers/java: that peer is skipped' >&2

.PHONY: endurance
endurance: .venv-bench/stamp ## run the real service through 200,000 messages with faults on, and see that nothing grows
	@.venv-bench/bin/python -m bench.endurance $(ARGS)

##@ Housekeeping

.PHONY: python
python: ## whether there is a Python that is new enough; every environment asks
	@command -v $(PYTHON) >/dev/null || { \
		echo 'error: no "$(PYTHON)" here; install Python 3.11 or newer, or name it: make PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Python 3.11 or newer is needed, this is $$($(PYTHON) --version 2>&1); name another: make PYTHON=python3.13" >&2; exit 1; }

.PHONY: clean
clean: ## remove everything that make made
	@rm -rf .bench-peers .venv .venv.lock .venv-bench .venv-deploy .venv-tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis \
		.coverage .coverage.* htmlcov dist bench/node/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): .ci/pins/dev.txt scripts/environment.py pyproject.toml src/email_processor/__init__.py | python
	@$(PYTHON) -m scripts.environment

$(DEPLOY_STAMP): .ci/pins/deploy.txt .ci/pins/helm.txt scripts/deploy_tools.py | python
	@$(PYTHON) -m scripts.deploy_tools

$(UV): Makefile | python
	@echo 'Installing uv, which writes the pins, into .venv-tools ...'
	@$(PYTHON) -m venv .venv-tools
	@.venv-tools/bin/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv-bench/stamp: .ci/pins/bench.txt bench/node/package.json pyproject.toml | python
	@echo 'The benchmark needs the subjects that it is compared with, here and in bench/node.'
	@$(BENCH_PYTHON) -m scripts.pinned .venv-bench $<
	@.venv-bench/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@! command -v npm >/dev/null || npm install --prefix bench/node --no-package-lock --silent >/dev/null || \
		echo 'npm could not install bench/node: the Node peer is skipped' >&2
	@touch $@
