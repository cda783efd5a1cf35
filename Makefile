# Carryon's commands: `make help` prints them. Works with GNU make from 3.81 (macOS) on.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 3
OPTIONS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
MANAGE := $(BIN)/python manage.py
# Collecting takes 9 s a process with byte code kept, and 22 s where the environment says that none be written.
KEPT := env -u PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX="$(abspath $(VENV))/bytecode"
PYTEST := $(KEPT) $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder
# Many tests keep real processes to real times: what fails beside others is tried once more alone, and only that counts.
ALONE := $(KEPT) $(BIN)/python -m pytest --last-failed --last-failed-no-failures none
# Commands that load the settings without running the service leave ./data alone.
SCRATCH := DATA_DIR=$(VENV)/scratch
PRODUCTION := PUBLIC_URL=https://carryon.example DATABASE_URL=postgres://carryon@localhost/carryon \
	SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))')
SOURCES := config transfers tasks_api sync carryon deploy
UV := 0.13.8
LOCK := $(VENV)/lock/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-long lint types layers checks docs screenshots lock bench-download bench-orders bench-sync bench-tasks bench-upload bench-web clean

help: ## Print this list
	@echo "Commands (make NAME):"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON=python3.12 (what .venv is made of, 3.11 or newer), JOBS=3 (tests at once);"
	@echo "           OPTIONS=--try (\`make run\` stops again as soon as everything works);"
	@echo "           HOST, PORT, DATA_DIR, WORKERS and all others of the service for \`make run\`."

run: $(VENV)/.base ## Start the service: http://127.0.0.1:8008, data in ./data; Ctrl-C stops it
	@exec $(BIN)/python -m config.supervisor $(OPTIONS)

test: $(VENV)/.browser $(VENV)/.nginx $(VENV)/.compose $(VENV)/.promtool $(VENV)/.bsdtar ## Run all tests on SQLite, and those that use the database on PostgreSQL too
	@code=0; \
	$(PYTEST) --postgres -m database || $(ALONE) --postgres -m database || code=1; \
	$(PYTEST) || $(ALONE) || code=1; \
	exit $$code

test-long: ## Run the tests with their batteries at full length (takes long)
	@CARRYON_LONG=1 $(MAKE) --no-print-directory test

lint: $(VENV)/.dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## Check types
	$(SCRATCH) $(BIN)/mypy $(SOURCES)

layers: $(VENV)/.dev ## Check that imports point down
	$(BIN)/lint-imports

checks: $(VENV)/.dev ## Check migrations, the production settings, the API description and the Dockerfile
	$(SCRATCH) $(MANAGE) makemigrations --check --dry-run
	$(SCRATCH) $(MANAGE) spectacular --fail-on-warn --validate --file /dev/null
	$(SCRATCH) $(PRODUCTION) $(MANAGE) check --deploy --fail-level WARNING
	$(BIN)/hadolint Dockerfile

docs: $(VENV)/.dev ## Write docs/configure.md anew, from the settings
	$(SCRATCH) $(MANAGE) describe_settings > docs/configure.md.new && mv docs/configure.md.new docs/configure.md

screenshots: $(VENV)/.browser ## Take docs/screenshots/*.png anew, of a service of their own
	$(BIN)/python -m tests.browser.screenshots

lock: $(VENV)/lock/.uv ## Write the hashed requirements/*.txt and the benchmarks' anew, with uv
	$(LOCK) requirements/base.in -o requirements/base.txt
	$(LOCK) requirements/dev.in -o requirements/dev.txt
	$(LOCK) benchmarks/requirements.in -o benchmarks/requirements.txt
	$(LOCK) benchmarks/sync/requirements.in -o benchmarks/sync/requirements.txt

bench-download: $(VENV)/.dev ## Measure downloads beside curl and aria2c
	$(BIN)/python -m benchmarks.download

bench-orders: $(VENV)/.dev ## Measure orders beside zip -0, stream-zip and cp
	$(BIN)/python -m benchmarks.orders

bench-sync: $(VENV)/.dev ## Measure syncs beside aws s3 sync, rclone and s5cmd
	$(BIN)/python -m benchmarks.sync

bench-tasks: $(VENV)/.dev ## Measure polls beside a bare Django view
	$(BIN)/python -m benchmarks.tasks

bench-upload: $(VENV)/.dev ## Measure uploads beside @tus/server, tuspyserver and copyparty
	$(BIN)/python -m benchmarks.upload

bench-web: $(VENV)/.dev ## Measure the ways to serve HTTP and WebSockets on one port
	$(BIN)/python -m benchmarks.web_servers

clean: ## Remove .venv and every cache, but no data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Carryon needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	echo "Name one that is: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.base: requirements/base.txt $(VENV)/pyvenv.cfg
	$(PIP) install --quiet --require-hashes -r requirements/base.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	$(PIP) install --quiet --require-hashes -r requirements/base.txt -r requirements/dev.txt
	@touch $@

$(VENV)/.browser: $(VENV)/.dev
	@$(BIN)/python -m tests.browser.install
	@touch $@

$(VENV)/.nginx: $(VENV)/.dev
	@$(BIN)/python -m tests.nginx
	@touch $@

$(VENV)/.compose: $(VENV)/.dev
	@$(BIN)/python -m tests.compose
	@touch $@

$(VENV)/.promtool: $(VENV)/.dev
	@$(BIN)/python -m tests.promtool
	@touch $@

$(VENV)/.bsdtar: $(VENV)/.dev
	@$(BIN)/python -m tests.bsdtar
	@touch $@

$(VENV)/lock/.uv: $(VENV)/pyvenv.cfg Makefile
	$(BIN)/python -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip --disable-pip-version-check --no-input install --quiet uv==$(UV)
	@touch $@
