# Two commands for a new machine (python3.11 or newer, make, pip): `make quickstart`, `make test`.
PYTHON ?= python3
VENV ?= .venv
DATA ?= data
RUNS ?= runs/quickstart
# QUICKSTART=short takes a tenth of the steps; CI uses it.
QUICKSTART ?=
# What pip is told to get torch for the parity tests; elsewhere point it to PyTorch's CPU wheels,
# or it takes several gigabytes of CUDA with it: make test TORCH="torch --index-url URL".
TORCH ?= torch==2.13.0

BIN := $(VENV)/bin
RUN := $(BIN)/python -m pretrainjax
ARG := $(if $(QUICKSTART),:$(QUICKSTART))

.PHONY: quickstart install test lint

quickstart: install
	$(RUN).prepare fashion_mnist --data_dir=$(DATA) --fallback=digits
	$(RUN).pretrain --config=configs/pretrain/image/mae_vit_fashion_mnist.py$(ARG) \
	  --workdir=$(RUNS)/pretrain --data_dir=$(DATA)
	$(RUN).finetune --config=configs/finetune/image/vit_fashion_mnist.py$(ARG) \
	  --workdir=$(RUNS)/finetune --config.init=$(RUNS)/pretrain --data_dir=$(DATA)
	$(RUN).evaluate --config=configs/evaluate/image/fashion_mnist.py$(ARG) \
	  --workdir=$(RUNS)/pretrain
	$(RUN).evaluate --config=configs/evaluate/image/fashion_mnist_classifier.py$(ARG) \
	  --workdir=$(RUNS)/finetune --no_random_init
	@echo "checkpoints and logs: $(RUNS)/pretrain and $(RUNS)/finetune"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

test: install
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable ".[test]"
	$(BIN)/python -m pytest -q -m parity
	$(BIN)/python -m pytest -q

lint: install
	$(BIN)/pip install --quiet --editable ".[dev]"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell pretrainjax configs tests benchmarks docs README.md CHANGELOG.md
	$(BIN)/pyright
