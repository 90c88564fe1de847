# make demo   explain the handwritten digits of models/ and say where the pictures are
# make test   run all tests; make test-fast leaves out the slow ones
# make lint   check style and types, as CI does
# make page   build the page of rsp-onnx serve and page, and what reports hold inside (needs Node 20.19 or newer)
# make docs   renew what docs/ takes from the registries
#
# Each needs Python 3.10 or newer and make, nothing else: the first run makes .venv and installs into it, later runs
# are quick, and a changed pyproject.toml installs again. Another Python: make test PYTHON=python3.12

VENV ?= .venv
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11 python3.10 python
PYTEST_ARGS ?= -n 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO := rsp-onnx explain models/digits_pytorch.onnx models/scenes/scene_?.png --target topk:2 --hostile auto -o demo-output

.PHONY: demo test lint docs page
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-demo
	$(BIN)/$(DEMO)
	@echo
	@echo "The pictures are in $(CURDIR)/demo-output:"
	@ls demo-output/*.png

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: test-fast
test-fast: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

lint: $(VENV)/.installed-lint
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

page:
	@command -v npm >/dev/null || { echo "make page needs Node.js 20.19 or newer, which is not installed: https://nodejs.org" >&2; exit 1; }
	cd web && npm ci --no-audit --no-fund && npm run build

docs: $(VENV)/.installed-demo
	$(BIN)/python docs/generate.py

$(VENV)/.installed-demo: pyproject.toml $(VENV)/.made
	@echo "Installing rsp-onnx into $(VENV); the first time this takes a few minutes."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(VENV)/.made
	@echo "Installing rsp-onnx and what its tests need into $(VENV); the first time this takes a few minutes."
	@$(PIP) --editable ".[test]"
	@touch $@

$(VENV)/.installed-lint: pyproject.toml $(VENV)/.made
	@echo "Installing rsp-onnx, ruff and mypy into $(VENV); the first time this takes a few minutes."
	@$(PIP) --editable ".[lint]"
	@touch $@

$(VENV)/.made:
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	    "$$python" -m venv "$(VENV)" && touch $@; exit; \
	  fi; \
	done; \
	echo "rsp-onnx needs Python 3.10 or newer, and none of these is one: $(PYTHON). Say which is: make demo PYTHON=python3.12" >&2; \
	exit 1
