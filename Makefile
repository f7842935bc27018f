# Two commands for a fresh machine (python 3.11 or newer, make, pip): `make quickstart`, `make test`.
PYTHON ?= python3
VENV ?= .venv
DATA ?= data
RUNS ?= runs/quickstart
# QUICKSTART=short takes a tenth of the steps; CI uses it.
QUICKSTART ?=
# Further flags of `prepare`, such as --source=FOLDER.
PREPARE ?=
# What pip is told to get torch for the parity tests. Elsewhere than on our CI, point it to
# PyTorch's CPU wheels, or gigabytes of CUDA come along: make test-parity TORCH="torch --index-url URL".
TORCH ?= torch==2.13.0
# Processes that share the suite.
WORKERS ?= 2
FAULTS ?= runs/faults
# Flags of tests/faults/soak.py, such as --minutes=5 --seed=1.
SOAK ?=

# Where it is set, each of the hundreds of processes of a suite compiles the whole package.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
PIP := $(BIN)/pip install -qq
RUN := $(BIN)/python -m pretrainjax
ARG := $(if $(QUICKSTART),:$(QUICKSTART))
# In the form of the figures that README.md shows.
TUNED := $(if $(QUICKSTART),:$(QUICKSTART),:published)

.PHONY: quickstart install test test-parity test-repeats slurm faults soak lint dev build check-install

# Where no source has Fashion-MNIST, prepare says so and takes scikit-learn's digits: all that
# follows then runs on those.
quickstart: install
	$(RUN).prepare fashion_mnist --data_dir=$(DATA) --fallback=digits $(PREPARE)
	set=$$(test -d $(DATA)/fashion_mnist/1.0.0 && echo fashion_mnist || echo digits); \
	data="--data_dir=$(DATA) --datasets=$$set"; set -ex; \
	$(RUN).pretrain --config=configs/pretrain/image/mae_vit_fashion_mnist.py$(ARG) \
	  --workdir=$(RUNS)/pretrain $$data; \
	$(RUN).finetune --config=configs/finetune/image/vit_fashion_mnist.py$(TUNED) \
	  --workdir=$(RUNS)/finetune --config.init=$(RUNS)/pretrain $$data; \
	$(RUN).evaluate --config=configs/evaluate/image/fashion_mnist.py$(ARG) \
	  --workdir=$(RUNS)/pretrain $$data; \
	$(RUN).evaluate --config=configs/evaluate/image/fashion_mnist_classifier.py$(ARG) \
	  --workdir=$(RUNS)/finetune $$data --no_random_init
	@echo "checkpoints and logs: $(RUNS)/pretrain and $(RUNS)/finetune"

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --max-worker-restart=0

# Against torch, transformers and peft, which are installed for it.
test-parity: $(VENV)/.installed-torch
	$(BIN)/python -m pytest -q -m parity -n $(WORKERS) --dist loadfile --max-worker-restart=0

# What the default run leaves out for time; most does once more what another test there does.
test-repeats: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -m "repeat and not slow" -n $(WORKERS) --dist loadfile --max-worker-restart=0

# A run preempted and requeued by a SLURM that is started for it: root, slurm-wlm and munge.
slurm: install
	test -d $(DATA)/fashion_mnist || $(RUN).prepare fashion_mnist --data_dir=$(DATA) $(PREPARE)
	$(BIN)/python tests/slurm/preemption.py --data_dir=$(DATA)

# The fault matrix, trial by trial; ends with a table, and fails if a fault was not survived.
faults: $(VENV)/.installed-test
	rm -rf $(FAULTS) && mkdir -p $(FAULTS)
	status=0; \
	$(BIN)/python -m pytest -q tests/faults -m "slow or not slow" \
	  --trials=$(FAULTS)/trials.jsonl || status=$$?; \
	$(BIN)/python tests/faults/table.py $(FAULTS)/trials.jsonl && exit $$status

# Twenty minutes of random faults into a run of two processes: the end must be the same, bit for bit.
soak: $(VENV)/.installed-test
	test -d $(DATA)/fashion_mnist || $(RUN).prepare fashion_mnist --data_dir=$(DATA) $(PREPARE)
	$(BIN)/python tests/faults/soak.py --data_dir=$(DATA) --out=runs/soak $(SOAK)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pyright --pythonpath $(BIN)/python

dev: $(VENV)/.installed-dev $(VENV)/.installed-test
	$(BIN)/pre-commit install

build: $(VENV)/.installed-dev
	$(BIN)/python -m build --outdir dist

# What the README promises of a base install; to be asked before any extra is installed.
check-install: install
	@size=$$(du -sm $(VENV) | cut -f1); echo "$(VENV): $$size MB"; test $$size -lt 1500
	@! $(BIN)/pip list | grep -Ei '^(tensorflow|tensorflow-cpu|torch) '

install: $(VENV)/.installed

# With the extra for quickstart's --fallback.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit( \
	  f"found python {sys.version.split()[0]}, expected 3.11 or newer: make PYTHON=python3.12")'
	@echo "installing into $(VENV): 1.3 GB, about a minute"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[digits]"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable ".[test]"
	@touch $@

$(VENV)/.installed-torch: $(VENV)/.installed-test
	$(PIP) $(TORCH)
	$(PIP) --editable ".[parity]"
	@touch $@

# With the libraries of sound: pyright looks at what is imported of them.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[audio,dev]"
	@touch $@
