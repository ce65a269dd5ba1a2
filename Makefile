# make help lists the targets. Exact versions come from environment.yml.
PYTHON ?= python3
SCALE ?= quick
DEVICE ?= auto
SEED ?= 0
ONLY ?=
DATA ?=
JOBS ?=

BIN := .venv/bin
CHECK := .cache/check
SHAPES := --jaxtyping-packages=ordlib,beartype.beartype

.PHONY: help reproduce test lab bench

help:
	@echo "make reproduce  run every notebook; variables: SCALE=smoke|quick|desk|paper ONLY=09 DEVICE SEED DATA=folder JOBS"
	@echo "make test       lint, types, unit tests, all notebooks at smoke, nbval"
	@echo "make lab        open JupyterLab with the .py notebooks as notebooks"
	@echo "make bench      run the benchmarks"
	@echo "PYTHON=python3.12 chooses the interpreter (3.11 or newer) for the environment in .venv"

reproduce: .venv/ready
	@$(BIN)/python -m ordlib reproduce --scale $(SCALE) --device $(DEVICE) --seed $(SEED) \
		$(if $(ONLY),--only "$(ONLY)") $(if $(DATA),--data "$(DATA)") $(if $(JOBS),--jobs $(JOBS))

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(SHAPES) tests
	rm -rf $(CHECK)
	$(BIN)/python -m ordlib reproduce --scale smoke --outputs $(CHECK)/executed
	OMP_NUM_THREADS=1 ORDLIB_OUTPUTS="$(CURDIR)/$(CHECK)/nbval" $(BIN)/python -m pytest -n 2 --dist loadscope \
		--nbval-lax --nbval-current-env --nbval-cell-timeout 600 \
		--nbval-sanitize-with tests/sanitize.cfg outputs/smoke/notebooks

lab: .venv/ready
	$(BIN)/jupytext-config --settings-file .venv/etc/jupyter/labconfig/default_setting_overrides.json \
		set-default-viewer python
	$(BIN)/jupyter lab

bench: .venv/ready
	$(BIN)/python -m pytest -o python_files='bench_*.py' -p no:xdist --benchmark-only tests/benchmarks

.venv/ready: environment.yml pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; $(PYTHON) is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12")'
	@echo "Making the environment in .venv (a few minutes, once)"
	$(PYTHON) -m venv .venv
	sed -n 's/^ *- \([A-Za-z0-9_.-]*==.*\)$$/\1/p' environment.yml > .venv/pins.txt
	$(BIN)/python -m pip install --quiet --requirement .venv/pins.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
