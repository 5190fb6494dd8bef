# Two commands need nothing but Python and a network: `make demo` and `make test`. `make help` lists all.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := dev,dwi,openvino,onnx,mlflow,swin
# Where to take PyTorch from; empty: from where pip takes everything. PyTorch's own index has a build without CUDA
# that is a tenth of the download (the README has the line).
TORCH_INDEX ?=
DEMO := demo
# After OpenVINO has compiled in a process, loader workers forked from it crash: these tests get a process of their own.
ALONE := tests/unit/test_backends.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-units test-bundles test-slow check bench

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

demo: $(READY) ## set up, then the main job: samples, prepare, train, evaluate, infer, pictures (into demo/)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/demo.sh "$(DEMO)"

test: check ## set up, check the code, run the default tests (two processes, one thread each)
	$(MAKE) --no-print-directory --jobs 2 --output-sync test-units test-bundles

test-units: $(READY) ## of the default tests, those of single rooms, commands, faults and documents
	$(BIN)/python -m pytest --durations 10 tests/unit tests/cli tests/faults tests/docs --ignore $(ALONE)
	$(BIN)/python -m pytest $(ALONE)

test-bundles: $(READY) ## of the default tests, those of bundles and their exports
	$(BIN)/python -m pytest --durations 10 tests/bundles tests/export tests/real

test-slow: $(READY) ## the tests that take longer: real images, trainings, interrupted runs
	$(BIN)/python -m pytest -m slow

check: $(READY) ## lint, formatting, types, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## the measurements in benchmarks/
	set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps --index-url $(TORCH_INDEX) torch)
	$(BIN)/python -m pip install --quiet -c constraints.txt --editable '.[$(EXTRAS)]'
	touch $@
