# `make demo` and `make test` set everything up by themselves: Python 3.11 or newer and make are all they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
PEERS := $(VENV)/peers
# What is never imported need not be compiled; the rest compiles itself when it first is.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Whole files to each process, as the tests of a file share what they have prepared, and to one of them all that use the server, in
# the order of tests/conftest.py.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Where the environment tells Python to write no bytecode, each process would compile all that it imports anew, Prefect too.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo check fast test test-ui soak lint bench accuracy waiting pictures serve lock clean

demo: $(READY)  ## Build sample pictures, find their duplicates, move them.
	$(BIN)/imagetwins demo

check: $(READY)  ## Lint, types, import rules and the fast tests side by side: under two minutes.
	$(MAKE) --jobs 2 lint fast

fast: $(READY)  ## The fast tests alone.
	$(PYTEST) -m "not slow" -q

test:  ## Lint, types and import rules while the kernels are compiled, then all tests, in two processes.
	$(MAKE) --jobs 2 lint $(READY) WARNINGS='-W error'
	$(PYTEST)

test-ui: $(READY)  ## The way through Prefect's UI, in headless Chromium.
	$(BIN)/pytest -rs tests/ui

soak: $(READY)  ## Try for minutes, and not seconds, to lose a file or a pair, or to crash a decoder.
	HYPOTHESIS_PROFILE=soak $(BIN)/pytest --timeout 0 tests/imagetwins/moving/test_conservation.py tests/imagetwins/decoding/test_pool.py tests/imagetwins/ssim/test_floor.py

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) $(PEERS)/.ready accuracy  ## Measure all that is claimed; takes a while. CORPUS=folder with photos and charts.
	$(BIN)/python -m benchmarks.ssim_join $(if $(CORPUS),--corpus $(CORPUS))
	$(BIN)/python -m benchmarks.peers --peers $(PEERS)/bin/python $(if $(CORPUS),--corpus $(CORPUS))
	$(BIN)/python -m benchmarks.large_photos $(if $(CORPUS),--corpus $(CORPUS))
	$(BIN)/python -m benchmarks.cluster $(if $(CORPUS),--corpus $(CORPUS))
	$(BIN)/python -m benchmarks.scale $(if $(CORPUS),--corpus $(CORPUS))
	$(BIN)/python -m benchmarks.buckets $(if $(CORPUS),--corpus $(CORPUS))
	$(BIN)/python -m benchmarks.audit_queries
	$(BIN)/python -m benchmarks.report_size
	$(BIN)/python -m benchmarks.review
	$(BIN)/python -m benchmarks.growth $(if $(CORPUS),--corpus $(CORPUS))
	$(MAKE) waiting

accuracy: $(READY) $(PEERS)/.ready  ## Which copies are found and which look-alikes are taken for copies, beside other tools: ten minutes.
	$(BIN)/python -m benchmarks.accuracy --peers $(PEERS)/bin/python $(if $(CORPUS),--corpus $(CORPUS))

waiting: $(READY) $(PEERS)/.ready  ## How long one waits for whole commands; BEFORE=imagetwins of another checkout, README=page for the table.
	$(BIN)/python -m benchmarks.waiting --peers $(PEERS)/bin/python $(if $(CORPUS),--corpus $(CORPUS)) $(if $(BEFORE),--before $(BEFORE)) $(if $(README),--readme $(README))

pictures: $(READY)  ## Make the README's pictures again; needs Chromium.
	$(BIN)/python -m benchmarks.pictures
	IMAGETWINS_SCREENSHOTS=docs $(BIN)/pytest tests/ui/test_ui.py --basetemp=/tmp/pictures

serve: $(READY)  ## Prefect's server, its UI, the schedule and the runs, in one terminal.
	$(BIN)/imagetwins serve

lock: $(READY)  ## Pin every dependency anew, for every platform and Python that pyproject.toml allows.
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-emit-index-url --no-annotate \
		--no-header --group dev --extra dask --extra s3 pyproject.toml --output-file requirements.lock

# The tools that the benchmarks compare with, apart: they pin other versions.
$(PEERS)/.ready:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check difPy==4.2.1 czkawka
	touch $@

clean:
	rm -rf $(VENV) data/samples data/store

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "imagetwins needs Python 3.11 or newer, and this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	-$(INSTALL) 'pip>=23.3'  # Older ones take half a minute more to choose among the wheels.
	$(INSTALL) --requirement requirements.lock
	$(INSTALL) --no-build-isolation --no-deps --editable .
	touch $@

$(READY): $(INSTALLED)
	$(BIN)/python $(WARNINGS) -m imagetwins.ssim.warming  # Some 15 s, which the first run would take instead.
	touch $@
