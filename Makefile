# Everything here works without make too: docs/install.md shows the commands.
#
#   make sweep                          set up .venv, fetch the encoder, run the default sweep
#   make sweep ARGS="sweep=clipping"    another sweep; ARGS goes to `nines sweep`
#   make demo                           from labels to a distilled generator, and how safe and good it is
#   make demo ARGS=demo.size=tiny       the same with tiny models, in 3 minutes
#   make test                           the tests; make coverage takes half as long again and shows what they miss
#   make test-slurm                     the tests on a real SLURM; NINES_SLURM_UP names a script that starts a private one
#
# torch comes first and pinned, since pip may otherwise take a build with gigabytes of CUDA. To choose another build:
#   make sweep TORCH_INDEX=https://download.pytorch.org/whl/cpu     CPU only, small
#   make sweep TORCH_INDEX=https://download.pytorch.org/whl/cu130   for NVIDIA GPUs
# Changing it later needs `make clean-venv` first.

PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
# nproc would take OMP_NUM_THREADS for the number of cores.
JOBS ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || echo 2)
TESTS ?= tests
SLOW ?= slow

VENV := .venv
READY := $(VENV)/.ready
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
# One thread for each of the test processes: more would only fight for the same cores.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(VENV)/bin/python -m pytest

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv sweep demo test coverage test-slow test-slurm check format clean clean-venv

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

venv: $(READY)  ## Set up .venv (done by itself when a target needs it)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "nines needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "== setting up $(VENV) (once, a few minutes)"
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "== installing $(TORCH)"
	@$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	@echo "== installing nines and what it needs"
	@$(PIP) install --editable ".[dev]"
	@touch $@

sweep: ARGS ?= sweep=quick
sweep: $(READY)  ## Run the default sweep on the embedded data (ARGS="sweep=clipping trials=40")
	@test -n "$$VIRTUAL_ENV" || echo "== nines lies in $(VENV)/bin; to have it at hand: . $(VENV)/bin/activate"
	@$(VENV)/bin/nines weights fetch
	@$(VENV)/bin/nines sweep $(ARGS)

demo: $(READY)  ## From labels to a distilled generator, with a report (ARGS=demo.size=tiny for 3 minutes)
	@$(VENV)/bin/nines demo $(ARGS)

test: $(READY)  ## Run the tests (TESTS=tests/nines for a part)
	@$(PYTEST) $(TESTS) -n $(JOBS) --dist worksteal

coverage: $(READY)  ## The same, and the lines that they do not reach
	@$(PYTEST) $(TESTS) -n $(JOBS) --dist worksteal --cov --cov-report=term:skip-covered

test-slow: $(READY)  ## Run the long tests: kill and chaos tests, simulations in full
	@$(PYTEST) $(TESTS) -m "$(SLOW)" -n $(JOBS) --dist loadgroup

test-slurm: $(READY)  ## Run the tests on the SLURM cluster at hand, or on one that NINES_SLURM_UP starts
	@$(PYTEST) tests/integration/test_slurm_*.py -m slow

check: $(READY)  ## Lint, format, types, and the layers of imports
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

format: $(READY)  ## Let ruff format and fix what it can
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

clean:  ## Remove caches and build outputs; runs and .venv stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-venv:  ## Remove .venv, for example to choose another torch
	rm -rf $(VENV)
