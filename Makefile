# make demo: set up, then run the main job on simulated cases.   make test: set up, then pass the tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-oldest unit lint docs clean

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

# The lowest versions that pyproject.toml allows; their wheels end with Python 3.11.
.venv-oldest/ready: pyproject.toml constraints-oldest.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)) and "Python 3.10 or 3.11 is needed, got " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install -q -c constraints-oldest.txt torch
	.venv-oldest/bin/python -m pip install -q -c constraints-oldest.txt -e . medpy pytest setuptools tensorboard
	@touch $@

test-oldest: .venv-oldest/ready
	.venv-oldest/bin/python -m pytest -m 'not slow' --ignore=monai_lesion/dicom --ignore=monai_lesion/pacs

unit: setup
	$(BIN)/python -m pytest -m 'not slow'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv .venv-oldest build dist site *.egg-info
