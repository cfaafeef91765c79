# Gold tables kept true to Silver. `make` alone lists what there is.
PYTHON ?= python3
GOLD_LAKE_ROOT ?= data
export GOLD_LAKE_ROOT
export DAGSTER_HOME ?= $(CURDIR)/dagster_home
BIN := .venv/bin
# Compiled is what is imported, and then: compiling all that is installed takes a third of the installation. Where Python is told
# to keep no compiled file, each process would compile all it imports again, which takes 3 of the 5 s until
# the definitions are loaded.
unexport PYTHONDONTWRITEBYTECODE
CONSTRAINTS ?= constraints.txt
INSTALL := $(BIN)/pip install --quiet --no-compile --constraint $(CONSTRAINTS)
# On two cores: while one worker waits for a daemon, a JVM or a server, the others work. In the order of the files: by default
# those of few tests come last, among which are the longest.
PYTEST := $(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
# What the demo made known, when there is one: where its dates begin, and that its rows may be shown. Not so those of a Silver of one's own.
ifeq ($(GOLD_SOURCE_PATH)$(shell grep -sE '^ *(export +)?GOLD_(SOURCE_PATH|LAKE_ROOT) *=' .env),)
-include $(DAGSTER_HOME)/demo.mk
endif
export GOLD_PARTITIONS_START
export GOLD_EXAMPLES

.DEFAULT_GOAL := help
.PHONY: help demo demo-live example ui docs test set-up test-fast test-sail test-spark test-end-to-end chaos lint screenshots clean needs

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.demo ## build the sample Silver, materialize every date of Gold, check it, print what came out
	@$(BIN)/python -W ignore -m gold_assets.transactions.sample.demo

demo-live: .venv/.demo ## keep changing the sample Silver, so that the UI shows Gold follow; Ctrl-C ends it
	@$(BIN)/python -W ignore -m gold_assets.transactions.sample.live

# Each has a lake of its own, and the window of its rows, which are old.
example: .venv/.test ## make the Gold tables of a folder of examples/, and check them: make example NAME=flights
	@unset DAGSTER_HOME; set -ex; export GOLD_LAKE_ROOT=data/$(NAME) GOLD_PARTITIONS_START=2024-01-01 GOLD_PARTITIONS_END=2024-01-31 \
	FLIGHTS_PARTITIONS_START=2013-01-01 FLIGHTS_PARTITIONS_END=2013-01-31; \
	$(BIN)/python -W ignore -m examples.$(NAME).silver; \
	for command in stream checks; do $(BIN)/gold --project examples.$(NAME).project:project $$command; done

ui: .venv/.demo ## start the Dagster UI and daemon on what the demo made
	$(BIN)/dagster dev

test: needs set-up test-sail test-spark test-end-to-end ## run everything: lint, both engines, end to end

# Side by side, for none keeps two cores busy, and no test runs yet.
set-up:
	@$(MAKE) --no-print-directory --jobs 3 lint .venv/.s3 .venv/.spark

test-fast: .venv/.test ## run the inner loop: the embedded engine, no end-to-end tests
	$(PYTEST) -q -m "not end_to_end and not spark and not s3"

test-sail: .venv/.test .venv/.s3
	$(PYTEST) -m "not end_to_end and not spark"

# Of the lower floor, those tests run on both engines in which an engine takes part: first what takes long.
ON_SPARK := $(addprefix gold_assets_tests/, gold/test_refresh.py gold/test_streaming.py commands/test_stream.py object_store \
	engines gold/test_patch.py gold/test_changed_keys.py gold/test_maintenance.py gold/test_real_data.py gold/test_transformations.py \
	silver/test_contract.py reading/test_on_engines.py declaring/test_select.py)

test-spark: .venv/.test .venv/.s3 .venv/.spark
	@if command -v java >/dev/null; then set -x; GOLD_ENGINE=spark $(PYTEST) -m "not end_to_end and not sail" $(ON_SPARK); fi

test-end-to-end: .venv/.test .venv/.s3
	@if command -v chromium >/dev/null; then set -x; $(PYTEST) -m end_to_end; else set -x; $(PYTEST) -m "end_to_end and not browser"; fi

MINUTES ?= 10
chaos: .venv/.test ## kill what keeps Gold true, at random and for long, and see it come true: make chaos MINUTES=60 SEED=7
	@$(BIN)/python -W ignore -m gold_assets_tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

life: .venv/.test ## let anything happen to lakes, in any order, and see each come true: make life MINUTES=60 SEED=7
	@$(BIN)/python -W ignore -m gold_assets_tests.life --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: .venv/.test ## check style, types and which package imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

docs: .venv/.docs ## build the site of the documentation into site/; a link that leads nowhere fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

screenshots: .venv/.test ## make the pictures of docs/ afresh, in a real browser
	$(BIN)/python -W ignore -m gold_assets_tests.end_to_end.screenshots

clean: ## remove the virtual environment, the demo's data and the instance's state
	rm -rf .venv "$(GOLD_LAKE_ROOT)" build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find dagster_home -mindepth 1 ! -name dagster.yaml -delete

# Says what is missing for a full run. Under CI=true that is a failure, elsewhere those tests are left out.
needs:
	@missing=""; \
	command -v java >/dev/null || missing="$$missing\nJava is missing, so the tests on Spark are left out: install a JDK 17 or newer (Debian: apt-get install openjdk-17-jre-headless)."; \
	command -v chromium >/dev/null || missing="$$missing\nChromium is missing, so the tests in a browser are left out: install it (Debian: apt-get install chromium)."; \
	command -v go >/dev/null || missing="$$missing\nGo is missing, so the tests on an S3 server are left out: install Go 1.24 or newer, which builds the server."; \
	command -v pg_ctl >/dev/null || ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || missing="$$missing\nPostgreSQL is missing, so the tests on it are left out: install it (Debian: apt-get install postgresql)."; \
	if [ -n "$$missing" ]; then printf "$$missing\n\n"; [ "$$CI" != true ]; fi

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/.demo: setup.cfg constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[demo]'
	@touch $@

.venv/.test: setup.cfg constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[test]'
	@touch $@ .venv/.demo

.venv/.docs: setup.cfg constraints.txt | .venv/bin/python
	$(INSTALL) --editable '.[docs]'
	@touch $@

# The S3 server that the tests start, built once where Go is, and not optimized, which takes longer than it saves.
.venv/.s3: | .venv/bin/python
	@if command -v go >/dev/null; then set -x; \
	GOBIN="$(CURDIR)/$(BIN)" go install -gcflags='all=-N -l' -ldflags='-s -w' github.com/versity/versitygw/cmd/versitygw@v1.8.0; touch $@; fi

# What the first local Spark fetches and leaves for the next, made once, where Java is.
.venv/.spark: .venv/.test
	@if command -v java >/dev/null; then set -x; GOLD_ENGINE=spark $(BIN)/python -W ignore -m gold_assets_tests.engines.first_spark; touch $@; fi
