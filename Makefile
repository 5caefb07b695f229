# Commands of the project; `make` alone lists them. Every command that needs the environments sets them up first.

SHELL := /bin/bash
# The locks are for Python 3.11; another Python 3 can start set-up too, which then looks for a 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venvs/orchestrator/bin
# A machine lent for its GPU may have PyTorch and transformers and none of this project's environments.
GPU_PYTHON = $(if $(filter file,$(origin PYTHON)),$(or $(wildcard .venvs/engine/bin/python),$(PYTHON)),$(PYTHON))
GPU_NEEDS = import sys, importlib.util as u; sys.exit(any(u.find_spec(n) is None for n in ("torch", "transformers", "pydantic")))
ARGS ?=
PRESET ?= demo
export PYTHONUNBUFFERED = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults lint format ui lock lock-check clean gpu-check

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## install the three environments from their locks
	@$(PYTHON) -m infra.setup

demo: setup ## run the whole chain on this machine (PRESET=name for another preset)
	@$(BIN)/appo run pipeline --preset $(PRESET) $(ARGS)

test: setup ## run all tests (ARGS='tests/tasks -k name' for some)
	@$(BIN)/python -m infra.run_tests $(ARGS)

test-faults: setup ## run only the tests with kills, outages and full disks
	@$(BIN)/python -m infra.run_tests -m faults $(ARGS)

gpu-check: ## check and measure on a GPU, into docs/performance.md (PYTHON=path for another Python)
	@$(GPU_PYTHON) -c '$(GPU_NEEDS)' || { echo "gpu-check: $(GPU_PYTHON) lacks torch, transformers or pydantic; run make setup, or give PYTHON=path" >&2; exit 2; }
	@$(GPU_PYTHON) -m appo_core.bench.gpu $(ARGS)

lint: setup ## ruff (rules and layout) and mypy --strict
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: setup ## lay the code out and apply ruff's safe fixes
	@$(BIN)/ruff check --fix-only . && $(BIN)/ruff format .

ui: setup ## open the Prefect UI over this checkout's database
	@$(BIN)/appo ui $(ARGS)

lock: ## resolve infra/environments/*.in into locks (ARGS=--upgrade for the newest versions)
	@$(PYTHON) -m infra.lock $(ARGS)

lock-check: ## check that every lock is current and can be installed, the GPU locks too
	@$(PYTHON) -m infra.lock --check $(ARGS)

clean: ## remove the environments, caches and everything the demo made
	@rm -rf .venvs .appo .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
