# make demo: set up, then run the main job on simulated cases.   make test: set up, then pass the tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-oldest unit lint docs dist queue clean

setup: .venv/ready

# torch first and pinned, else a range takes the newest build with gigabytes of CUDA. pip before 25.1 knows no --group.
.venv/ready: pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed, got " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[all]' --group dev
	@touch $@

demo: setup
	$(BIN)/monai-lesion demo --output demo

# First the quick tests, then the slow ones, which have the machine to themselves.
test: unit
	$(BIN)/python -m pytest -m slow

# The lowest versions that pyproject.toml allows; their wheels end with Python 3.11.
.venv-oldest/ready: pyproject.toml setup.py constraints-oldest.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)) and "Python 3.10 or 3.11 is needed, got " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install -q -c constraints-oldest.txt torch
	.venv-oldest/bin/python -m pip install -q -c constraints-oldest.txt -e . medpy pytest setuptools tensorboard
	@touch $@

test-oldest: .venv-oldest/ready
	.venv-oldest/bin/python -m pytest -m 'not slow' --ignore=monai_lesion/dicom --ignore=monai_lesion/pacs

# Two processes of one thread each; a file's tests stay together, for they share what is costly to make.
unit: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile $(UNIT_OPTIONS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/mkdocs build --strict --quiet

# The wheel is built from the source distribution, so a file that is missing from it shows.
dist: setup
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .
	MONAI_LESION_DIST=dist $(BIN)/python -m pytest tests/test_distribution.py

# The training queue of studies/README.md: one training at a time on one core, low priority; the same command goes on.
DATA ?= ../shared/data
queue: setup
	$(BIN)/monai-lesion manifest join data_manifests/busbra_dev.json data_manifests/busi_dev.json --folders busbra,busi --output runs/both.json
	OMP_NUM_THREADS=1 nice -n 15 $(BIN)/monai-lesion study run studies/presets.json --manifest runs/both.json --dataset-dir $(DATA) --output runs/presets
	for study in converged paper_recipe; do \
	  OMP_NUM_THREADS=1 nice -n 15 $(BIN)/monai-lesion study run studies/$$study.json --manifest data_manifests/busbra_dev.json \
	    --dataset-dir $(DATA)/busbra --output runs/$$study || exit 1; done

clean:
	rm -rf .venv .venv-oldest build dist site *.egg-info
