# The way in. A machine needs Python 3.11 or later and make; every other thing is installed into .venv, pinned by hash.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
UV_VERSION := 0.13.9

# Where a Python is looked for, best first. `make setup PYTHON=/path/to/python3` names one instead.
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python)
JOBS ?= 3
ARGS ?=
STEPS ?= 1000000
HOURS ?= 24
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
ALERTMANAGER ?= $(shell command -v prometheus-alertmanager || command -v alertmanager)

# Prints the first Python that is new enough and can create an environment; otherwise says what is missing.
define FIND_PYTHON
for candidate in $(PYTHONS); do
  version=$$("$$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
  seen="$$seen $$candidate=$$version"
  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue
  if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then echo "$$candidate"; exit 0; fi
  bare="$$bare python$$version-venv"
done
if [ -n "$$bare" ]; then
  echo "make: Python is here, but its ensurepip module is not (Debian and Ubuntu pack it apart)." >&2
  echo "      Install one of:$$bare   e.g. apt-get install python3-venv   and run make again." >&2
else
  echo "make: needs Python 3.11 or later; tried: $(PYTHONS); found:$${seen:- none}." >&2
  echo "      Install one, or name one: make setup PYTHON=/path/to/python3.11" >&2
fi
exit 1
endef
export FIND_PYTHON

# Compiled once and kept, also where the environment says otherwise: a test run starts hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test laws check format chaos chaos-short volume soak simulate mutation integration-alertmanager integration-console integration-deploy bench real-rows operating-characteristics cross-check requirements clean distclean

help: ## list what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-24s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## create .venv and install everything, pinned by hash; quick when nothing changed

# An environment without pip, or of a Python that has gone, is made anew.
$(STAMP): requirements-dev.txt pyproject.toml
	@if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	  python=$$(sh -c "$$FIND_PYTHON") || exit 1; \
	  echo "Creating $(VENV) with $$("$$python" --version); the first time takes a minute or two."; \
	  "$$python" -m venv --clear $(VENV) || exit 1; \
	fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 5 \
	  --no-deps --require-hashes --only-binary :all: --requirement requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

demo: $(STAMP) ## everything on this machine from embedded parts, real traffic replayed, a live view
	$(BIN)/rollback-budget demo $(ARGS)

# What fails is tried once more and named with its traceback, three at most: docs/decisions/0013.
AGAIN := --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks

test: check ## check, then all tests
	$(BIN)/pytest -n $(JOBS) $(AGAIN) $(ARGS)

laws: $(STAMP) ## the laws with other examples than the last time; a failure is a finding, and is kept to be tried first
	$(BIN)/pytest -n $(JOBS) -m "hypothesis and not chaos" --hypothesis-profile=others $(ARGS)

check: $(STAMP) ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## put the code into the form that check asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

integration-alertmanager: $(STAMP) ## its pager against the real one; apt-get install prometheus-alertmanager first
	@test -n "$(ALERTMANAGER)" || { echo "make: no Alertmanager here: apt-get install prometheus-alertmanager," \
	  "or name one: make $@ ALERTMANAGER=/path/to/alertmanager" >&2; exit 1; }
	ROLLBACK_BUDGET_TEST_ALERTMANAGER=$(ALERTMANAGER) $(BIN)/pytest tests/adapters/pagers -k alertmanager $(ARGS)

integration-deploy: $(STAMP) ## chart, dashboard and alerts by helm, promtool and amtool; install them first
	@for tool in helm promtool amtool; do command -v $$tool >/dev/null || { echo "make: no $$tool here" \
	  "(Debian: prometheus, prometheus-alertmanager; helm: https://helm.sh)" >&2; exit 1; }; done
	$(BIN)/pytest tests/deploy $(ARGS)

integration-console: $(STAMP) ## the commander's console in a real browser; apt-get install chromium first
	@test -n "$(CHROMIUM)" || { echo "make: no Chromium here: apt-get install chromium," \
	  "or name one: make $@ CHROMIUM=/path/to/chromium" >&2; exit 1; }
	ROLLBACK_BUDGET_TEST_CHROMIUM=$(CHROMIUM) $(BIN)/pytest tests/console/test_browser.py $(ARGS)

chaos: $(STAMP) ## faults from a seed on a real Kafka and Valkey, crash points, torn tails; ARGS="--seed 7 --faults 200"
	$(BIN)/python -m tests.chaos $(ARGS)
	$(BIN)/pytest -m chaos

chaos-short: $(STAMP) ## the same in five minutes: 40 faults in two worlds at the same time; ARGS="--seed 7"
	$(BIN)/python -m tests.chaos --short $(ARGS)

volume: $(STAMP) ## kills, a rebuild, hostile records and cohort values by the million; ARGS="--events 200000 --kills 4 --only kills"
	$(BIN)/python -m tests.chaos.volume $(ARGS)

soak: $(STAMP) ## a day of steady traffic with a fault every few minutes; HOURS=0.05 for a look, SEED=1
	$(BIN)/python -m tests.chaos.soak --hours $(HOURS) $(if $(SEED),--seed $(SEED)) $(ARGS)

simulate: $(STAMP) ## the engine in simulated worlds, faults from a seed; STEPS=10000000 SEED=1, ARGS=--trace for one world
	$(BIN)/python -m tests.simulation --steps $(STEPS) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutation: $(STAMP) ## small changes of outbox and script that the tests must notice; ARGS="--only outbox.py"
	$(BIN)/python -m tests.mutation $(ARGS)

bench: $(STAMP) ## the benchmarks; ARGS="NAME…" for some of them
	$(BIN)/python -m benchmarks $(ARGS)

real-rows: $(STAMP) ## measured releases against each other; DATA=FOLDER for the rows that are not in here
	$(BIN)/python -m benchmarks.real_rows $(if $(DATA),--data $(DATA)) $(ARGS)

operating-characteristics: $(STAMP) ## false rollbacks and delays on simulated releases, into docs/; hours in full
	$(BIN)/python -m benchmarks.operating_characteristics $(ARGS)

# gbstats and confseq need NumPy 1, and confseq's newest wheels are for Python 3.10: an environment of their own.
CROSS_PYTHON ?= python3.10
CROSS_CHECKS := confseq==0.0.11 gbstats==0.8.0

cross-check: ## gbstats, confseq and scipy compute the tests' references anew; needs Python 3.10 (CROSS_PYTHON=…)
	@"$(CROSS_PYTHON)" -c 'import sys, ensurepip; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null || { \
	  echo "make: $@ needs Python 3.10 with venv, for which confseq has wheels; '$(CROSS_PYTHON)' is not one." >&2; \
	  echo "      Name one: make $@ CROSS_PYTHON=/path/to/python3.10; the tests only read what is on file." >&2; exit 1; }
	"$(CROSS_PYTHON)" -m venv --clear .cross-check
	.cross-check/bin/python -m pip install --quiet --disable-pip-version-check --retries 5 \
	  --no-deps --require-hashes --only-binary :all: --requirement requirements-cross-check.txt
	.cross-check/bin/python tools/cross_check.py

# One resolution for every supported Python and platform. ARGS=--upgrade for newer versions, ARGS="-P NAME" for one.
COMPILE = .uv/bin/uv pip compile pyproject.toml --quiet --universal --fork-strategy fewest --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" $(ARGS)

requirements: ## resolve the dependencies of pyproject.toml, and of cross-check, anew into the pinned lists
	@python=$$(sh -c "$$FIND_PYTHON") && "$$python" -m venv --clear .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) --extra embedded --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	printf '%s\n' $(CROSS_CHECKS) | .uv/bin/uv pip compile - --quiet --python-version 3.10 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" $(ARGS) \
	  --output-file requirements-cross-check.txt
	@rm -rf .uv

clean: ## remove caches and what was built
	rm -rf build dist .uv .cross-check .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find monitor tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove the environment and the embedded servers too
	rm -rf $(VENV) .embedded
