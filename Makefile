# finetune-operator. `make help` lists the targets; each installs what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v /usr/bin/python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin
PACKAGES := operator trainer_image cli sandbox
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup lock generate verify fmt lint types floors unit generated chart test demo e2e image bench clean

help: ## List the targets.
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Install the locked environment into .venv (5 GB: torch).

$(VENV)/.ready: locks/dev.txt pyproject.toml
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(RUN)/uv pip install --quiet --python $(RUN)/python --compile-bytecode -r locks/dev.txt
	$(RUN)/uv pip install --quiet --python $(RUN)/python --no-deps -e .
	touch $@

lock: ## Resolve the dependencies anew into locks/.
	for extra in operator trainer dev; do $(RUN)/uv pip compile --quiet pyproject.toml --extra $$extra --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --no-emit-find-links -o locks/$$extra.txt; done
