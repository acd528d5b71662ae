# Everything a developer and CI run. `make` alone lists it.
# `operator/` is a project and never a package, so the standard library's `operator` is safe with this folder on the path.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
MEMBERS := contracts broker operator commander soldier missionctl
STAMP := $(VENV)/.ready
CLUSTER ?= dev

.PHONY: help
help: ## List what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(STAMP) ## Make the virtual environment from the hashed lock

$(STAMP): requirements/dev.txt $(MEMBERS:%=%/pyproject.toml) tools/setup.sh
	@bash tools/setup.sh $(VENV) $(MEMBERS)
	@touch $@

.PHONY: lock
lock: ## Lock again what requirements/dev.in and the members ask for
	@bash tools/lock.sh $(MEMBERS)

.PHONY: check
check: setup ## Lint, formatting, types, layers, generated files, chart
	@$(MAKE) --keep-going lint types layers verify chart

.PHONY: lint
lint: setup
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

.PHONY: types
types: setup
	$(VENV)/bin/mypy

.PHONY: layers
layers: setup
	$(VENV)/bin/lint-imports

.PHONY: format
format: setup ## Format, and mend what the linter can mend
	$(VENV)/bin/ruff check --fix-only
	$(VENV)/bin/ruff format

.PHONY: generate
generate: setup ## Write the generated files (CRDs and the like) anew
	$(PYTHON) -m tools.generate

.PHONY: verify
verify: setup ## Fail if a generated file is not what `make generate` writes
	$(PYTHON) -m tools.generate --check

.PHONY: chart
chart: setup ## Lint the chart; hold it and the manifests against schemas (helm is built the first time)
	@$(PYTHON) -m tools.charts

.PHONY: images
images: setup ## Build the three images, write their bills of materials, load them into a cluster (CLUSTER=…) or push them (PUSH=registry)
	@$(PYTHON) -m tools.images --cluster $(CLUSTER) $(if $(PUSH),--push $(PUSH) --no-load)

.PHONY: servers
servers: setup ## Install or build RabbitMQ, Redis and the API server where they are missing
	@$(PYTHON) -m tools.stack prepare

.PHONY: up
up: setup ## Run the three real servers until Ctrl-C, and print their addresses
	@$(PYTHON) -m tools.stack up

.PHONY: test
test: ## Everything: setup, check, test-unit, test-real, test-e2e, with times and what could not run
	@began=$$(date +%s); $(MAKE) setup; \
	$(PYTHON) -m tools.test_run --setup-seconds $$(( $$(date +%s) - began )) check unit servers real e2e

.PHONY: test-unit
test-unit: setup ## Tests that need no server
	@$(PYTHON) -m tools.test_run unit

.PHONY: test-real
test-real: setup ## Tests against real RabbitMQ, Redis and API server
	@$(PYTHON) -m tools.test_run servers real

.PHONY: test-long
test-long: setup ## Tests that take too long for every change, and the real ones on RabbitMQ 4.0 and Redis 8
	@$(PYTHON) -m tools.test_run servers trixie-servers long trixie long-e2e

.PHONY: test-e2e
test-e2e: setup ## Tests on a whole cluster, which they make and end
	@$(PYTHON) -m tools.test_run e2e

.PHONY: mutants
mutants: setup ## Mutation testing of the state machine; MUTANTS=--show prints what survived
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/mutants.txt
	@$(PYTHON) -m tools.mutants $(MUTANTS)

.PHONY: demo
demo: setup ## Watch missions go through a real API server (KEEP=1 leaves it up)
	@KEEP="$(KEEP)" $(PYTHON) -m tools.demo

.PHONY: bench
bench: setup ## Measure missions per second and latency, next to the bare limits
	@$(PYTHON) -m benchmarks

.PHONY: bench-pools
bench-pools: setup ## Measure pools on a real node: from zero, out, and in again (BENCH="--json FILE" keeps the figures)
	@$(PYTHON) -m benchmarks.pools $(BENCH)

.PHONY: chaos
chaos: setup ## Break everything while 20,000 missions run, three times over; prints what each fault cost
	@$(PYTHON) -m chaos $(CHAOS)

.PHONY: cluster
cluster: setup ## A real Kubernetes on this machine (kind, or a node of our own); the last line says how to use it
	@$(PYTHON) -m tools.cluster up --name $(CLUSTER)

.PHONY: cluster-down
cluster-down: setup ## End that cluster; only caches stay
	@$(PYTHON) -m tools.cluster down --name $(CLUSTER)

.PHONY: clean
clean: ## Remove the virtual environment, states and caches of this checkout
	rm -rf $(VENV) .state .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
