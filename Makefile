# finetune-operator. `make help` lists the targets; each installs what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v /usr/bin/python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin
can = -c 'import $(1), sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
NO_PYTHON := $(PYTHON) is no Python 3.11 or newer with venv. Run apt install python3-venv, or make setup PYTHON=/another/python3.
# Outside the checkout, so that a fresh one needs no minute: mypy keeps what it knows by the files' contents.
TYPES_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/finetune-operator/mypy
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup lock generate verify fmt lint types floors unit generated chart programs test demo e2e image bench clean

help: ## List the targets.
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Install the locked environment into .venv (5 GB: torch).

# Again where a setup was broken off, or an older Python made it.
$(VENV)/.ready: locks/dev.txt pyproject.toml
	$(RUN)/python $(call can,pip) || { \
		$(PYTHON) $(call can,ensurepip) || { echo "$(NO_PYTHON)" >&2; exit 1; }; \
		$(PYTHON) -m venv --clear $(VENV); }
	$(RUN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(RUN)/uv pip install --quiet --python $(RUN)/python --compile-bytecode -r locks/dev.txt
	$(RUN)/uv pip install --quiet --python $(RUN)/python --no-deps -e .
	touch $@

lock: ## Resolve the dependencies anew into locks/.
	for extra in operator trainer dev; do $(RUN)/uv pip compile --quiet pyproject.toml --extra $$extra --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --no-emit-find-links -o locks/$$extra.txt; done

generate: setup ## Write crds/, the chart's copy, the training arguments and the reference from their sources.
	$(RUN)/python -m tools.generate

fmt: setup ## Format, and mend what ruff can.
	$(RUN)/ruff format . && $(RUN)/ruff check --fix .

lint: setup ## Format and lint, without a change.
	$(RUN)/ruff format --check . && $(RUN)/ruff check .

types: setup ## mypy, strict.
	$(RUN)/mypy --cache-dir $(TYPES_CACHE)

floors: setup ## import-linter: who may import whom.
	$(RUN)/lint-imports --no-logo

unit: setup ## The tests that need neither torch nor a cluster.
	$(RUN)/python -m pytest -q -n 4 --dist worksteal -m "not training and not control_plane and not e2e and not gpu and not bench"

generated: setup ## Fail when a generated file differs from its source.
	$(RUN)/python -m tools.generate --check

chart: setup ## Lint the chart, its values and its unit tests with the real Helm.
	$(RUN)/python -m pytest -q tests/charts/test_chart.py

verify: lint types floors generated unit chart ## The gate: format, lint, types, floors, unit tests, generated files, chart.

test: verify ## verify, and the integration tests: real training, real API server. No root.
	$(RUN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "(training or control_plane) and not e2e and not bench" $(PYTEST_ARGS) \
		tests/trainer tests # In this order no control plane runs beside the trainers' tests, which need none.

demo: setup ## The main job on this machine: train, be preempted, resume, compare. No cluster, no account.
	$(RUN)/finetune run examples/bert-mrpc.yaml --sandbox --preempt-at 40 --compare

programs: setup ## Build what is missing of the servers that the tests run: Kubernetes, Helm, object stores (ten minutes of Go).
	$(RUN)/python -m finetune_sandbox.binaries

image: setup ## Build both images with buildah (root), from a base made on the spot.
	$(RUN)/python -m finetune_sandbox.node.images

e2e: setup ## The real node: kubelet, containerd, Helm, both images (root).
	$(RUN)/python -m pytest -q -m e2e $(PYTEST_ARGS) tests/e2e

bench: setup ## Measure, side by side, on the real API server; writes bench/results/.
	$(RUN)/python -m bench

clean: ## Remove .venv and caches of this checkout.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
