# One command from a fresh clone: every target first makes the virtual environment that it needs.
#
#   PYTHON=python3.12 make test      make the environment with another Python
#   VENV=~/envs/torch make test      use an environment that you have, with the torch that is in it

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint check bench dist docs
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/.tas  ## search and train a small net for handwritten digits, in a minute or two
	$(BIN)/tas run --out runs/demo

test: $(VENV)/.tas-dev  ## run the tests, on all cores
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.tas-dev  ## check format, style, types and floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_floors.py

check: lint test  ## all that a change must pass

bench: $(VENV)/.tas-dev  ## measure the speed of a search step and of the input path
	$(BIN)/python benchmarks/search_step.py
	$(BIN)/python benchmarks/input_path.py

docs: $(VENV)/.tas-docs  ## build the documentation site into build/site, without a warning
	$(BIN)/python -m mkdocs build --strict

# The environment is empty but for the wheel: all that it needs is borrowed from $(VENV) by a path,
# for PyTorch alone is some gigabytes to fetch.
dist: $(VENV)/.tas-dev  ## build wheel and sdist, and run the demo from the wheel in an environment of its own (packages it needs are lent by VENV)
	rm -rf dist build/dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python tests/wheel.py dist/*.whl
	$(BIN)/python -m venv build/dist/env
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$(build/dist/env/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/lent.pth"
	build/dist/env/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --ignore-installed dist/*.whl
	cd build/dist && env/bin/tas --version && env/bin/tas run --epochs 2 --trials 20 --out run && env/bin/tas eval run

# Stamps: an environment is set up again when pyproject.toml is newer than its last set-up.
$(VENV)/.tas: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --editable .
	touch $@

$(VENV)/.tas-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
	touch $(VENV)/.tas $@

$(VENV)/.tas-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[docs]'
	touch $(VENV)/.tas $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
