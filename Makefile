# `make help` lists what there is. PORT, VAR, VENV and PYTHON can be overridden.
PORT ?= 8000
VAR ?= var
VENV ?= .venv
PYTHON ?= python3
export PORT VAR

python = $(VENV)/bin/python
lint = $(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy .
# What a production installation must set, so that its checks can be run.
production = PROFILE=production ALLOWED_HOSTS=mlops.example.org TRUSTED_PROXIES=127.0.0.1

.DEFAULT_GOAL := help
.PHONY: help up down test check lint bench soak browser differential programs lock audit-deps packages packages-dev

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

up: packages ## run everything (DETACH=1: in the background; EXAMPLE=0: no example run)
	@[ -d "$(VAR)" ] || (umask 022 && mkdir -p "$(VAR)")
	@exec $(python) manage.py up $(if $(DETACH),--detach) $(if $(filter 0,$(EXAMPLE)),--no-example)

down: ## stop what `make up DETACH=1` runs
	@if [ -x $(python) ]; then exec $(python) manage.py down; fi

test: lint check ## lint, check, and run the tests
	$(python) -m pytest -n 2 --dist loadscope --no-loadscope-reorder

check: packages-dev ## migrations are complete; Django's checks as in production
	$(python) -W "ignore:Got an error" manage.py makemigrations --check --dry-run
	$(production) $(python) manage.py check --deploy --fail-level WARNING

lint: packages-dev ## ruff and mypy
	$(lint)

bench: packages-dev ## measure; see bench/README.md
	$(python) -m bench

soak: packages-dev ## the long tests
	$(python) -m pytest -m soak

browser: packages-dev ## the pages in headless Chromium
	$(python) -m pytest -m "browser and not soak"

differential: packages-dev programs ## ask MLflow's own server and ours the same
	$(python) -m pytest -m differential tests/differential -s -q

programs: packages-dev ## what real programs need, with the clients of MLflow 3 and 2
	@for name in mlflow3 mlflow2; do $(call environment,$$name); done

lock: packages-dev ## pin what the *.in files name, and all that it needs, with hashes
	@$(call compile,requirements)
	@$(call compile,examples/requirements,-c requirements.txt)
	@$(call compile,requirements-dev,-c requirements.txt -c examples/requirements.txt)
	@$(call compile,tests/programs/mlflow3,--override tests/programs/mlflow3.overrides.txt)
	@$(call compile,tests/programs/mlflow2)

audit-deps: packages-dev ## ask the public advisories about every pinned package
	@for file in requirements.txt examples/requirements.txt requirements-dev.txt; do \
	    echo "$$file"; \
	    $(VENV)/bin/pip-audit --strict --require-hashes --disable-pip -r $$file || { \
	        echo "$$file: a known weakness, or a package that could not be audited"; \
	        exit 1; }; \
	done

define compile
echo "$(1).txt"; $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 \
    --generate-hashes --no-header --no-emit-index-url $(2) $(1).in -o $(1).txt
endef

# Packages are installed again when the text of a requirements file has changed.
packages: $(VENV)/bin/python
	@$(call install,requirements.txt,requirements.txt)

packages-dev: $(VENV)/bin/python
	@$(call install,requirements-dev.txt,requirements-dev.txt)

define install
stamp=$(VENV)/$(1).installed; now=$$(cat $(2) | sha256sum); \
if [ "$$(cat $$stamp 2>/dev/null)" != "$$now" ]; then \
    echo "Installing $(1)"; \
    $(python) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) && echo "$$now" > $$stamp; \
fi
endef

# Exactly what the file names: nothing is resolved again.
define environment
file=tests/programs/$(1).txt; place=$(VENV)/programs/$(1); now=$$(sha256sum < $$file); \
if [ "$$(cat $$place/installed 2>/dev/null)" != "$$now" ]; then \
    echo "Installing $$file"; \
    $(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $$place && \
    $(VENV)/bin/uv pip sync --quiet --require-hashes --python $$place/bin/python $$file && \
    echo "$$now" > $$place/installed || exit 1; \
fi
endef

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or later is needed: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) cannot make virtual environments: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
