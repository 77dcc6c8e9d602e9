# Everything that a person types. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHON ?= python3
READY := .venv/.ready
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# The lab needs root. It leaves no root-owned caches in a person's checkout.
AS_ROOT := $(SUDO) env PATH="$(CURDIR)/.venv/bin:$$PATH" PYTHONDONTWRITEBYTECODE=1

.PHONY: help demo demo-down test test-quick lint bench venv requirements requirements-ceph clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

demo: requirements ## show the main job in three acts, from nothing, on a real host on this machine
	@$(AS_ROOT) .venv/bin/python -m tests.lab.demo up

demo-down: venv ## remove every trace of the demo
	@$(AS_ROOT) .venv/bin/python -m tests.lab.demo down

test: requirements-ceph ## every test there is: lint, types, imports, unit, seam, module, host, failures, molecule
	@.venv/bin/python -m tests all

test-quick: venv ## no root, no lab, about a minute: formatting, types, imports, unit and seam but for the slow ones
	@.venv/bin/python -m tests quick

lint: venv ## formatting, types, imports, YAML, Ansible, PHP
	@.venv/bin/python -m tests lint

bench: requirements ## measure, peers beside us: bench/results.json and the table in bench/README.md
	@command -v borg >/dev/null || $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends borgbackup
	$(AS_ROOT) .venv/bin/python -m bench

venv: $(READY) ## the virtual environment .venv with everything that Python needs

requirements: venv ## what the lab needs from the distribution (apt-get), and releases from npm
	@$(SUDO) bash tests/lab/requirements.sh

requirements-ceph: venv ## the same, and a Ceph for the tests of object lock and of keys (350 MB)
	@$(SUDO) bash tests/lab/requirements.sh --ceph

clean: ## remove .venv and every cache
	@rm -rf .venv .cache .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
	  echo "upkeep needs Python 3.11 or newer as $(PYTHON). Type: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2
	  exit 2
	}
	if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then
	  echo "== python3-venv is missing: apt-get install python3-venv"
	  $(SUDO) apt-get update -q
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends python3-venv
	fi
	echo "== virtual environment: .venv (about a minute, once)"
	( while sleep 8 >/dev/null 2>&1; do echo "   ... still installing Python packages, $$SECONDS s"; done ) & beat=$$!
	trap 'kill $$beat 2>/dev/null || true' EXIT
	[ -x .venv/bin/python ] || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -qq --disable-pip-version-check --no-input --editable '.[dev]'
	touch $@
	echo "== .venv is ready after $$SECONDS s"
