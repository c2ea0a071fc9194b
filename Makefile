# Every target does all of its own set-up on a machine that has Python >= 3.11 with venv and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/prod.yaml
INSTALLED := $(VENV)/.installed
GPU_PLATFORM := sys_platform in 'linux win32' and platform_machine in 'x86_64 AMD64'
OTHER_PLATFORM := sys_platform not in 'linux win32' or platform_machine not in 'x86_64 AMD64'

.PHONY: serve test check models models-text bench lock

serve: models
	@exec $(BIN)/serve-app serve $(CONFIG)

test: models
	$(BIN)/python -m pytest -m "not gpu"

check: models
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit

models: $(INSTALLED)
	@$(BIN)/python -m serve_app.samples

models-text: $(INSTALLED)
	@$(BIN)/python -m serve_app.samples text

bench: models
	$(BIN)/python -m load_tests bench --quick

$(INSTALLED): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Exact versions of everything pyproject.toml asks for, from a fresh environment on Linux x86-64. A local build tag such as
# +cpu is cut off: pip then takes the CPU build of PyTorch where the index offers one, else the CUDA build. ONNX Runtime's
# GPU package exists for some platforms only; the plain one has the same version numbers.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' 'setuptools>=80' wheel
	( echo '# Written by `make lock`; do not edit.'; \
	  build/lock/bin/python -m pip freeze --all --exclude-editable --exclude pip --exclude serve-app \
	  | sed -E -e 's/\+[a-z0-9.]+$$//' \
	    -e "s/^onnxruntime-gpu==(.*)/onnxruntime-gpu==\1; $(GPU_PLATFORM)\nonnxruntime==\1; $(OTHER_PLATFORM)/" \
	) > requirements.lock
	rm -rf build/lock
