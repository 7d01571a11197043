# make demo: set up, then run the main job on simulated cases.   make test: set up, then pass the tests.
PYTHON ?= python3
BIN := .venv/bin

# Compiled once, whatever a container forbids: else each process of pytest rewrites every test file.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo test test-oldest unit lint docs dist page audit queue clean

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

# First the quick tests, then the slow ones, most of which wait more than they compute. Those of studies and archives start Ray
# in their own process, which may take that process with it: they run alone.
ON_RAY := tests/study tests/archive
test: unit
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n 3 --dist loadfile --max-worker-restart 0 $(ON_RAY:%=--ignore=%)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow $(ON_RAY)

# The lowest versions that pyproject.toml allows; their wheels end with Python 3.11.
.venv-oldest/ready: pyproject.toml setup.py constraints-oldest.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)) and "Python 3.10 or 3.11 is needed, got " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install -q -c constraints-oldest.txt torch
	.venv-oldest/bin/python -m pip install -q -c constraints-oldest.txt -e . medpy pytest pytest-xdist setuptools tensorboard
	@touch $@

test-oldest: .venv-oldest/ready
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -m 'not slow' -n 2 --dist loadfile --ignore=monai_lesion/dicom --ignore=monai_lesion/pacs --ignore=monai_lesion/page --ignore=monai_lesion/service --ignore=monai_lesion/measures/reliability.py

# Two processes of one thread each; a file's tests stay together, for they share what is costly to make.
unit: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile $(UNIT_OPTIONS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Known holes: our floors against the list in tests/, which decides; then what the public database says of what is installed.
audit: setup
	$(BIN)/python -m pytest tests/test_oldest_stack.py -k hole
	@$(BIN)/python -m pip install -q pip-audit \
	  && $(BIN)/pip-audit --skip-editable --progress-spinner off >audit.txt || [ -s audit.txt ] || echo "no answer" >audit.txt
	@cat audit.txt; if grep -qE '^no answer|^requests .*could not be audited' audit.txt; then \
	  echo "audit: the public list of advisories is out of reach: only the floors were compared, with tests/advisories.json"; fi
	@rm -f audit.txt

# The wheel is built from the source distribution, so a file that is missing from it shows.
dist: setup
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .
	MONAI_LESION_DIST=dist $(BIN)/python -m pytest tests/test_distribution.py

# The reader's page, from web/; needs Node.js. What it builds travels in the repository and in the wheel.
page: setup
	cd web && npm install --no-audit --no-fund && npm run build
	$(BIN)/python web/examples.py monai_lesion/page/static/examples

# The training queue of studies/README.md: one training at a time on one core, low priority; the same command goes on.
DATA ?= ../shared/data
queue: setup
	$(BIN)/monai-lesion manifest join data_manifests/busbra_dev.json data_manifests/busi_dev.json --folders busbra,busi --output runs/both.json
	OMP_NUM_THREADS=1 nice -n 15 $(BIN)/monai-lesion study run studies/presets.json --manifest runs/both.json --dataset-dir $(DATA) --output runs/presets
	for study in converged ladder_at_1 paper_recipe; do \
	  OMP_NUM_THREADS=1 nice -n 15 $(BIN)/monai-lesion study run studies/$$study.json --manifest data_manifests/busbra_dev.json \
	    --dataset-dir $(DATA)/busbra --output runs/$$study || exit 1; done

clean:
	rm -rf .venv .venv-oldest build dist site *.egg-info
