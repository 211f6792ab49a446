# make demo   set up, then look at the factors of the shipped faces (demo_out/)
# make test   set up, then check the code and run the tests
# make robustness  set up, then try bad files and inputs by the thousand
# make slow   set up, then what takes long: kills by the dozen, old readers, the largest graph
# make coverage  the tests, and which lines they run
# make check  format, lint, types, import floors and the documentation only
# make docs   set up, then the documentation as a site: see build/docs/index.html

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
TORCH ?= torch==2.13.0
OUT ?= demo_out
DOCS ?= build/docs
JOBS ?= auto
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Where Python is told to keep no compiled files, each process that a test starts compiles torch's
# modules anew, longer than all else it does. They are kept in the environment, not beside sources.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/pycache

.PHONY: demo test tests coverage robustness slow check code docs setup clean

demo: $(READY)
	$(BIN)/mien demo --out $(OUT) --overwrite

# The type checker mostly waits for one core: the tests run beside it. They build the documents.
test: $(READY)
	$(MAKE) --no-print-directory --jobs 2 code tests

tests: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# Tracing lines takes its time: it has a target of its own.
coverage: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(JOBS) --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

robustness: $(READY)
	MIEN_HYPOTHESIS=long $(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/robustness

slow: $(READY)
	MIEN_KILLS=20 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "slow or long"

check: code docs

code: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# A warning is an error; nothing is fetched.
docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -d build/doctrees docs $(DOCS)

setup: $(READY)

# torch is pinned: the other packages never choose another build. Python compiles what it imports
# when it first does: compiling all that was installed takes longer than the rest of the set-up.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; run: make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint $(CONSTRAINTS) \
	  "$(TORCH)" --editable ".[train,hub,eval,search,umap,export,serve,remote,docs,dev]"
	touch $@

clean:
	rm -rf $(VENV) demo_out build
