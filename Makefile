# make help lists the targets.
PYTHON ?= python3
CONFIG ?= configs/demo.toml
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Prefect keeps its database inside the checkout; flows/ turns its telemetry off.
export PREFECT_LOGGING_LEVEL ?= WARNING
export PREFECT_HOME ?= $(CURDIR)/.prefect
export NO_MKDOCS_2_WARNING ?= 1

.DEFAULT_GOAL := help
.PHONY: help dataset report serve pretrain claim test check docs benchmark phenology-report format lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "make dataset CONFIG=configs/belgium.toml   another configuration"
	@echo "make pretrain OPTIONS='--epochs 5'         another value of the recipe"

dataset: $(VENV)/.dataset ## build the dataset of CONFIG (default: the embedded archive) with Prefect
	@$(BIN)/python -m flows.dataset "$(CONFIG)"

report: $(VENV)/.dataset ## write the dataset's page again
	@$(BIN)/ssl4eco report "$(CONFIG)"

serve: $(VENV)/.dataset ## Prefect server, work pool, worker and the scheduled deployments
	@$(BIN)/python -m flows.serve

pretrain: $(VENV)/.training ## pretrain a small encoder on an embedded dataset, then judge it (minutes; no GPU needed)
	@test -e data/demo-pretrain/ledger/close/00000.json || \
		$(MAKE) --no-print-directory dataset CONFIG=configs/demo-pretrain.toml
	@$(BIN)/python -m ssl4eco_training debug_cpu $(OPTIONS)
	@$(BIN)/python -m ssl4eco_training.evaluate data/demo-pretrain --encoder data/runs/debug_cpu/encoder.safetensors

claim: $(VENV)/.training ## train on seasons by phenology and by calendar, judge both, draw the figure (hours without a GPU)
	@for name in demo-large demo-large-calendar; do \
		test -e data/$$name/ledger/close/00000.json || \
		$(MAKE) --no-print-directory dataset CONFIG=configs/$$name.toml || exit; done
	@$(BIN)/python -m ssl4eco_training.claim data/demo-large data/demo-large-calendar --to data/claim.png \
		--steps 400 --queue 128 $(OPTIONS)

test: $(VENV)/.test ## install what the tests need and run them all
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/.test ## format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

docs: $(VENV)/.docs ## the documentation as pages in build/docs, every link checked
	@$(BIN)/python -m mkdocs build --strict --quiet

benchmark: $(VENV)/.test ## times and memory beside plain code and other libraries (minutes)
	@$(BIN)/python -m benchmarks.locations
	@$(BIN)/python -m benchmarks.phenology
	@$(BIN)/python -m benchmarks.scenes
	@$(BIN)/python -m benchmarks.reading
	@$(BIN)/python -m benchmarks.store

phenology-report: $(VENV)/.dataset ## measure the accuracy of the phenology, write its page and figures (minutes)
	@$(BIN)/python -m phenology_report

format: $(VENV)/.test ## mend format and lint
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(VENV)/.test ## exact pins from the ranges in pyproject.toml
	@$(PIP) install 'uv>=0.13,<0.14'
	@$(BIN)/python tools/lock.py

clean: ## remove the environment and compiled kernels, never data
	rm -rf $(VENV) .prefect
	find src -name '*.nb[ic]' -delete

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.dataset: requirements/dataset.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) (a few minutes the first time) ..."
	@$(PIP) install -r requirements/dataset.txt
	@$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.training: requirements/training.txt training/pyproject.toml $(VENV)/.dataset
	@$(PIP) install -r requirements/training.txt
	@$(PIP) install --no-deps --editable training
	@touch $@

$(VENV)/.docs: requirements/docs.txt $(VENV)/.dataset
	@$(PIP) install -r requirements/docs.txt
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.training
	@$(PIP) install -r requirements/test.txt
	@touch $@
