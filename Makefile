# make demo   train and try the quickstart model
# make test   run the tests
# make check  what a change must pass: style and tests
# make docs   write docs/cli.md
# make lock   resolve requirements*.txt anew

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Comes with tensorflow-text alone, which the product does without.
TENSORFLOW_ONLY := astunparse flatbuffers gast google-pasta grpcio libclang \
  setuptools tensorflow tensorflow-text wheel
WORKDIR ?= runs/quickstart

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install demo test style check docs lock
install: $(INSTALLED)

$(INSTALLED): requirements.txt requirements-dev.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

demo: install
	$(BIN)/sentiment train --flagfile=configs/quickstart.cfg \
	  --workdir=$(WORKDIR) --overwrite
	$(BIN)/sentiment predict --model=$(WORKDIR) \
	  --text="Lovely staff, great food, we will be back!" \
	  --text="It arrived on Tuesday in a brown box." \
	  --text="The app crashes every time, what a waste of money."

# Files of few but long tests, which would leave one of two workers idle at the end.
SLOW_FIRST = tests/training tests/search tests/compression tests/models/backbones

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(SLOW_FIRST) tests

style: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check: style test

docs: install
	$(BIN)/python -m sentiment.cli.reference > docs/cli.md

lock:
	uv pip compile --universal --python-version 3.11 --no-annotate --quiet \
	  --custom-compile-command "make lock" \
	  $(addprefix --no-emit-package ,$(TENSORFLOW_ONLY)) \
	  requirements.in --output-file requirements.txt
	uv pip compile --universal --python-version 3.11 --no-annotate --quiet \
	  --custom-compile-command "make lock" \
	  requirements-dev.in --output-file requirements-dev.txt
	uv pip compile --universal --python-version 3.11 --no-annotate --quiet \
	  --custom-compile-command "make lock" \
	  requirements-bench.in --output-file requirements-bench.txt
