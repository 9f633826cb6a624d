# `make` alone lists the targets. Everything is installed into .venv first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PARTS  ?= 20
ARGS   ?=
N      ?= 1000
KILLS  ?= 10000
CELLS  ?= 200

NATIVE := $(wildcard native/src/*/*.c native/src/*/*.h) native/build_native.py
STAMP  := $(VENV)/.installed
TYPED  := build/typed/.installed
ROOMS  := $(shell find native io tasks mes opcua_model web runtime -name '*.py' -not -path '*/__pycache__/*')

.PHONY: help demo test lint types imports bench docs jitter soak install clean campaign chaos chaos-retain changes mutants fuzz-rest fuzz-opcua

## What `make` alone prints: all targets
help:
	@awk '/^## / { text = substr($$0, 4) } \
	  /^[a-z][a-z-]*:/ && text { split($$1, name, ":"); printf "%-13s %s\n", name[1], text; text = "" }' Makefile

## Install everything into .venv; demo and test do it by themselves
install: $(STAMP)

$(STAMP): pyproject.toml setup.py $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Cellwright needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

## Run the blade-marking cell in simulation: make demo PARTS=20 ARGS=--hold
demo: $(STAMP)
	$(BIN)/python examples/blade_marking/demo.py --parts $(PARTS) $(ARGS)

# A cell under test is seven processes: each would compile all its modules anew in a shell that keeps
# Python from writing down what it has compiled.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

## Install everything and run the tests: make test ARGS='-k journal'
test: $(STAMP)
	$(PYTEST) $(if $(filter -s,$(ARGS)),,--numprocesses=2 --dist=loadgroup) $(ARGS)

## Ten times as many kills, flipped bits and random inputs as make test has (about an hour)
campaign: $(STAMP)
	CELLWRIGHT_CAMPAIGN=10 $(PYTEST) -m campaign --timeout 3600 $(ARGS)

## Mistakes in cell files that have every key: N of them, drawn from SEED
N ?= 1000
SEED ?= 1
mutants: $(STAMP)
	CELLWRIGHT_MUTANTS=$(N) CELLWRIGHT_SEED=$(SEED) $(PYTEST) tests/runtime/config/test_cell_mutants.py -s --timeout 3600 $(ARGS)

## Format and lint
lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

$(TYPED): $(ROOMS) pyproject.toml setup.py $(STAMP)
	rm -rf build/typed build/lib*
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/typed .
	@touch $@

## mypy --strict on the package as it is installed (not editable)
types: $(TYPED)
	MYPYPATH=build/typed $(BIN)/python -m mypy --strict -p cellwright

## A room imports only rooms below it
imports: $(TYPED)
	cd build/typed && PYTHONPATH=. ../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache

## Benchmarks: each prints its ratio to a peer or a physical floor measured in the same run
bench: $(STAMP)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only -s $(ARGS)

## What online changes of a running cell cost: skipped ticks, beside dry runs in turns (about 2 minutes)
changes: $(STAMP)
	$(BIN)/python tests/benchmarks/online_change.py --priority 80 $(ARGS)

## Start jitter of a whole running cell beside cyclictest, in turns (about 8 minutes)
jitter: $(STAMP)
	$(BIN)/python tests/realtime/jitter_pairs.py $(ARGS)

## A simulated day, then twenty minutes in real time: figures, judged against declared bounds
soak: $(STAMP)
	$(BIN)/python tests/soak/compressed.py $(ARGS)
	$(BIN)/python tests/soak/realtime.py

## So many requests, right and wrong, to every REST route: make fuzz-rest N=20000 (about 5 minutes)
fuzz-rest: $(STAMP)
	CELLWRIGHT_REST_REQUESTS=$(N) $(PYTEST) tests/web/test_fuzz.py --timeout 7200 $(ARGS)

## Captured OPC UA messages, mutated, for so long against a server that runs: make fuzz-opcua SECONDS=600
fuzz-opcua: $(STAMP)
	CELLWRIGHT_FUZZ_SECONDS=$(or $(SECONDS),60) CELLWRIGHT_SEED=$(SEED) $(PYTEST) tests/opcua_model/test_opcua_mutations.py --timeout 0 $(ARGS)

CHAOS := PYTHONPATH=tests:examples/blade_marking $(BIN)/python

## A thousand faults of a running cell, outputs measured at the plant: make chaos N=200 ARGS='--seed 7'
chaos: $(STAMP)
	$(CHAOS) tests/chaos/campaign.py -n $(N) $(ARGS)

## Ten thousand kills of a writer of retained values, two hundred of whole cells
chaos-retain: $(STAMP)
	$(CHAOS) tests/chaos/retain_campaign.py --kills $(KILLS) --cells $(CELLS) $(ARGS)
	$(CHAOS) tests/chaos/retain_cost.py

## Regenerate docs/reference from the code
docs: $(STAMP)
	PYTHONPATH=tools $(BIN)/python -m reference docs/reference
	$(BIN)/python tests/support/behaviours.py docs/reference

## Remove .venv and everything that was built
clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis native/_native*.so native/_native.c native/_native.pyi
