# make demo: set up, then run the main job on simulated cases.   make test: set up, then pass the tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test unit lint docs clean

setup: .venv/ready

# torch first and pinned, else a range takes the newest build with gigabytes of CUDA.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed, got " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	$(BIN)/monai-lesion demo --output demo

test: setup
	$(BIN)/python -m pytest

unit: setup
	$(BIN)/python -m pytest -m 'not slow'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv build dist site *.egg-info
