# Everything a newcomer types: make demo, make test. The rest is for those who work on myograph.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test slow live nightly mutants lint docs bench reproduce constraints clean

demo: .venv/.core
	$(BIN)/myograph run demo

test: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not nightly"

# The tests of half a minute each: whole sessions in a browser, killed processes, thousands of windows.
slow: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "slow and not nightly"

# Signals, guided recording, training and live decoding in the browser; without a device, a simulated person performs.
live: .venv/.live
	$(BIN)/myograph studio

# The published systems: all six in their quick size, then the tests of their findings; three quarters of an hour.
nightly: .venv/.dev reproduce
	$(BIN)/python -m pytest -m nightly --timeout 1800

# Small changes of the spine that its tests must notice: a seeded sample, one process, half an hour; docs/mutants.md.
mutants: .venv/.dev
	$(BIN)/python tests/mutants.py

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The documentation site, in site/; needs no network once its packages are installed.
docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "the documentation is in site/index.html; its search needs a server: $(BIN)/python -m http.server --directory site"

bench: .venv/.dev
	bash benchmarks/run.sh

reproduce: .venv/.core
	$(BIN)/myograph reproduce --all --quick

.venv/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), f"myograph needs Python 3.10 or newer, this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11"'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing myograph and what it needs into .venv (a few minutes the first time)"
	$(PIP) -e .
	@touch $@

.venv/.live: .venv/.core
	$(PIP) -e ".[live]"
	@touch $@

.venv/.dev: .venv/.core
	$(PIP) -e ".[dev]"
	@touch $@

.venv/.docs: .venv/.core
	$(PIP) -e ".[docs]"
	@touch $@

# Pins for every Python we support; CUDA packages are left to torch itself, so that a CPU build stays small.
constraints: .venv/.dev
	$(PIP) uv
	echo "torch==2.13.0" > build-constraints.txt
	$(BIN)/uv pip compile --universal --python-version 3.10 --all-extras --no-header --no-annotate \
	  -c build-constraints.txt pyproject.toml | grep -Ev '^(nvidia|cuda|triton|torch=)' > constraints.txt
	echo torch==2.13.0 >> constraints.txt
	rm build-constraints.txt

clean:
	rm -rf .venv build runs site
