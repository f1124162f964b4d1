# Thin on purpose: the work is in deploy/setup (Python, standard library only). `make` alone lists the targets.
# Everything is installed inside the clone; a second `make setup` finds its stamps and touches no network.

# Which parts `setup`, `test` and `smoke` install. A simulated engine needs neither vLLM nor a model.
PARTS ?= $(if $(findstring simulator,$(ARGS)),suite monitoring,suite engine monitoring model)
ARGS ?=

# -B: the system's Python may be another than .venv's, and need not leave bytecode in the tree.
SETUP := deploy/setup/python -B -m deploy.setup
PYTHON_ENV := .venv/bin/python
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export npm_config_cache := $(CURDIR)/.cache/npm
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy

.DEFAULT_GOAL := help
.PHONY: help setup test smoke report lint types calibrate bench bench-gate lock clean

help: ## this list
	@echo "vllm-slo: performance verification and service level objectives for vLLM"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
	@echo
	@echo "  ARGS='...' goes to pytest (make smoke ARGS='-x --engine simulator'); PARTS='suite engine' narrows the set-up."
	@echo "  VLLM_SLO_DEVICE=cpu|cuda overrules the choice of the engine's build. PYTHON=... names the Python of the set-up."

setup: ## install all parts inside the clone: suite, engine, monitoring, model
	@$(SETUP) $(PARTS)

test: setup ## the project's own tests: no GPU, no cluster, minutes
	$(PYTHON_ENV) -m pytest tests --basetemp=.cache/tmp/pytest $(ARGS)

smoke: setup ## a real stack on this machine, checked end to end
	$(PYTHON_ENV) -m pytest -m smoke $(ARGS)

report: ## Allure pages of the newest run, in results/latest/allure-report (needs node)
	@$(SETUP) report

lint: ## ruff: rules and format
	@$(SETUP) suite
	$(PYTHON_ENV) -m ruff check .
	$(PYTHON_ENV) -m ruff format --check .

types: ## mypy, strict
	@$(SETUP) suite
	$(PYTHON_ENV) -m mypy

calibrate: ## the error of our client on this machine, against a server of known timing
	@$(SETUP) suite
	$(PYTHON_ENV) -m instruments calibrate $(ARGS)

bench: ## our client against its peers and a server of known timing
	@$(SETUP) suite engine model
	$(PYTHON_ENV) -m benchmarks $(ARGS)

bench-gate: ## the judge judged: whole gates simulated over laws of known truth; the table of benchmarks/GATE.md
	@$(SETUP) suite
	$(PYTHON_ENV) -m benchmarks.gate $(ARGS)

lock: ## resolve requirements.lock and the engine's locks anew; remove a lock first to move every version
	@$(SETUP) lock

clean: ## remove what was installed and made: .venv .engine .tools .cache results
	rm -rf .venv .engine .tools .cache results
