# Everything that one does with the portal, one line each: `make help`.
# CI calls the same targets (.ci/run). Every target may be repeated; what is done already is not done again.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# The system's Python where it is one of those supported and can make environments, as Debian's is: it is built with a profile,
# and runs the tests in four fifths of the time of one that pyenv has built. Another one: make PYTHON=python3.12
SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell /usr/bin/python3 -c '$(SUITABLE)' 2>/dev/null && echo /usr/bin/python3 || echo python3)
UV ?= uv
# Processes that run tests side by side, and more arguments for pytest: make test ARGS="-k claim -x"
N ?= 4
ARGS ?=

# Hundreds of processes are started, by tests above all: without bytecode, each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --disable-pip-version-check install --no-input --require-hashes --no-deps
CHECK_INSTALLED = lacking=$$($(RUN) -m pip --disable-pip-version-check check) || { \
	echo "$$lacking" >&2; echo 'The lock is not whole. Compile it anew: make requirements' >&2; exit 2; }
APT := apt-get install git make python3 python3-venv openssh-client openssh-server

# The stamps carry a hash of what they stand for: file times mean nothing after a checkout.
HASH := $(shell cat requirements.txt requirements-devserver.txt | sha256sum | cut -c 1-16)
HASH_DEV := $(shell cat requirements.txt requirements-devserver.txt requirements-dev.txt | sha256sum | cut -c 1-16)
INSTALLED := $(VENV)/.installed-$(HASH)
INSTALLED_DEV := $(VENV)/.installed-dev-$(HASH_DEV)
MESSAGES := $(patsubst %.po,%.mo,$(wildcard locale/*/LC_MESSAGES/*.po))

DETACHED := $(filter-out 0 no false,$(DETACH))

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  Settings of `up`: PORTAL_PORT=8000 SIMULATOR_PORT=5050 POSTGRES_PORT=5433 VALKEY_PORT=6380'
	@echo '                    PORTAL_DATA=.data DEMO_PASSWORD=demo DETACH=1 DATABASE_URL= REDIS_URL= OS_CLOUD='

# --- Running it ----------------------------------------------------------------------------------------------
# `exec` leaves no shell between make and the supervisor, so that signals reach it.

.PHONY: up
up: $(INSTALLED) $(MESSAGES) ## Start everything with demo data; Ctrl-C stops it (DETACH=1 returns when it is ready)
	@exec $(RUN) -m devserver up $(if $(DETACHED),--detach)

.PHONY: up-nosim
up-nosim: $(INSTALLED) $(MESSAGES) ## The same without the simulated cloud: OS_CLOUD=name, or accounts of your own
	@exec $(RUN) -m devserver --no-simulator up $(if $(DETACHED),--detach)

.PHONY: down
down: $(INSTALLED) ## Stop exactly what `up` started
	@exec $(RUN) -m devserver down

.PHONY: status
status: $(INSTALLED) ## Tell what runs: process, port and memory of each part
	@exec $(RUN) -m devserver status

.PHONY: reset
reset: $(INSTALLED) ## Forget the data that `up` made
	@exec $(RUN) -m devserver reset

# --- Checking it ---------------------------------------------------------------------------------------------

.PHONY: test
test: $(INSTALLED_DEV) $(MESSAGES) ## Run the whole test suite, with servers of its own (N=4 ARGS=)
	@exec $(RUN) -m pytest -n $(N) --dist worksteal $(ARGS)

.PHONY: lint
lint: $(INSTALLED_DEV) ## Check style, types, import contracts, migrations and settings
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy .
	$(RUN) $(VENV)/bin/lint-imports --no-logo
	@# The warning would be that no database runs; the comparison needs none.
	$(RUN) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(RUN) -m tests.upgrade.migration_rules
	$(RUN) -m tests.translations
	@$(RUN) manage.py spectacular --validate --fail-on-warn | diff -u docs/openapi.yaml - || { \
		echo 'docs/openapi.yaml is not the API of the code. If the change is meant: make schema' >&2; exit 1; }
	$(RUN) manage.py check --fail-level WARNING
	@echo '$(RUN) manage.py check --deploy --fail-level WARNING'
	@PORTAL_ENV=production DEBUG=off ALLOWED_HOSTS=portal.example.org REDIS_PASSWORD=check \
		SECRET_KEY="$$($(RUN) -c 'import secrets; print(secrets.token_urlsafe(64))')" \
		ENCRYPTION_KEYS="$$($(RUN) -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')" \
		$(RUN) manage.py check --deploy --fail-level WARNING

.PHONY: reformat
reformat: $(INSTALLED_DEV) ## Format the code and repair what ruff can repair
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

.PHONY: bench
bench: $(INSTALLED_DEV) ## Run the benchmarks: python -m bench (ARGS=)
	@exec $(RUN) -m bench $(ARGS)

SEED ?= 1
KILLS ?= 200
RUNS ?= 300

.PHONY: faults
faults: $(INSTALLED_DEV) $(MESSAGES) ## Run the fault campaigns: everything fails under load, then all is compared; an hour (SEED=1 KILLS=200 RUNS=300 ARGS=)
	@$(RUN) -m tests.faults storm --seed $(SEED) --kills $(KILLS) $(ARGS)
	@$(RUN) -m tests.faults creation --seed $(SEED) --runs $(RUNS)
	@$(RUN) -m tests.faults pool --seed $(SEED) --runs $(RUNS)
	@$(RUN) -m tests.faults deploys
	@if [ "$$(id -u)" = 0 ]; then $(RUN) -m tests.faults hosts --seed $(SEED); \
		else echo 'Left out: tests.faults hosts, which makes network namespaces and needs root.'; fi

HOURS ?= 2

.PHONY: soak
soak: $(INSTALLED_DEV) $(MESSAGES) ## Mixed load with faults in turn, for hours: what grows? Report in .soak/ (HOURS=2 SEED=1 ARGS=; docs/soak.md)
	@exec $(RUN) -m tests.faults soak --hours $(HOURS) --seed $(SEED) --folder .soak $(ARGS)

# The auditor has an environment of its own: its requirements are not the portal's, and pip itself is one of them.
AUDITOR := $(VENV)/audit/bin/python

.PHONY: audit
audit: $(INSTALLED) ## Look known vulnerabilities of the locked requirements up, where an index answers
	@test -x '$(VENV)/audit/bin/pip-audit' || { $(RUN) -m venv '$(VENV)/audit' && \
		$(AUDITOR) -m pip --quiet --disable-pip-version-check install --no-input --require-hashes --no-deps -r requirements-audit.txt && \
		$(AUDITOR) -m pip check >/dev/null; } || { \
		echo 'Not audited: pip-audit could not be installed, because no package index answered.' >&2; exit 0; }; \
	exec $(AUDITOR) tests/audit.py '$(VENV)/audit/bin/pip-audit' requirements.txt $(foreach list,devserver otel aws alibaba tencent huawei,requirements-$(list).txt)

.PHONY: debian
debian: ## Do in a bare Debian 12 and 13 what README says, as root, half an hour (ARGS="--keep --only trixie")
	@exec $(PYTHON) tests/bare_debian.py $(ARGS)

.PHONY: image
image: $(INSTALLED) ## Build the image and start a VM with the compose file's processes from it, as root (ARGS=--keep)
	@exec $(RUN) -m tests.containers $(ARGS)

# The files that have more to run than `make test` runs of them, see tests/stories.py.
STORIES = $(sort $(shell grep -rlE --include='test_*.py' 'mark\.story|from tests\.stories import' tests))

.PHONY: stories
stories: $(INSTALLED_DEV) $(MESSAGES) ## Run the tests that tell stories with all of them, more than an hour (N=4 ARGS=)
	@PORTAL_STORIES=200 $(RUN) -m pytest -n $(N) --timeout 7200 $(STORIES) $(ARGS)

CHROMIUM ?= chromium

.PHONY: browser
browser: $(INSTALLED_DEV) $(MESSAGES) ## Try every page and flow in headless Chromium and keep screenshots in .browser/ (CHROMIUM=chromium ARGS=)
	@command -v '$(CHROMIUM)' >/dev/null || { echo 'There is no $(CHROMIUM). On Debian: apt-get install chromium fonts-noto-cjk' >&2; exit 2; }
	@$(RUN) -c 'import axe_playwright_python, playwright' 2>/dev/null || $(PIP) -r requirements-browser.txt
	@CHROMIUM="$$(command -v '$(CHROMIUM)')" $(RUN) -m pytest -n 0 --timeout 600 -p no:randomly tests/browser $(ARGS)

# --- What it is made from ------------------------------------------------------------------------------------

.PHONY: messages
messages: $(MESSAGES) ## Compile the translations in locale/

%.mo: %.po | $(INSTALLED)
	@$(RUN) -m babel.messages.frontend --quiet compile --input-file $< --output-file $@

# Babel knows `_`, gettext and their like by itself; these are Django's own.
KEYWORDS := gettext_lazy ngettext_lazy:1,2 pgettext_lazy:1c,2 npgettext_lazy:1c,2,3

# A message that is gone stays below as `#~`, for its translation to be used again; then delete it there.
.PHONY: translations
translations: $(INSTALLED) ## Bring new messages of the code into locale/, to be translated there
	@template=$$(mktemp) && trap 'rm -f "$$template"' EXIT && \
	$(RUN) -m babel.messages.frontend --quiet extract --mapping-file babel.cfg --keywords '$(KEYWORDS)' \
		--add-location=file --output-file "$$template" . && \
	for po in locale/*/LC_MESSAGES/django.po; do \
		$(RUN) -m babel.messages.frontend --quiet update --no-fuzzy-matching --ignore-pot-creation-date --no-wrap \
			--locale "$$(basename "$${po%/LC_MESSAGES/django.po}")" --input-file "$$template" --output-file "$$po" || exit; \
	done

# The files name no index and no address, so that they install from wherever pip is told to.
LOCK := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header

.PHONY: schema
schema: $(INSTALLED_DEV) ## Write the OpenAPI document to docs/openapi.yaml
	$(RUN) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

.PHONY: requirements
requirements: ## Compile requirements*.in to requirements*.txt (needs uv; UPGRADE=1 takes newer versions)
	@command -v $(UV) >/dev/null || { echo 'This needs uv: install it with pip, or name it: make requirements UV=/path/to/uv' >&2; exit 2; }
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements.txt requirements.in
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-devserver.txt requirements-devserver.in
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-aws.txt requirements-aws.in
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-alibaba.txt requirements-alibaba.in
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-tencent.txt requirements-tencent.in
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-huawei.txt requirements-huawei.in
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-dev.txt requirements-dev.in
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-browser.txt requirements-browser.in
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-otel.txt requirements-otel.in
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-audit.txt requirements-audit.in

$(INSTALLED):
	@command -v '$(PYTHON)' >/dev/null || { echo 'There is no $(PYTHON). Install Python 3.11 to 3.13 ($(APT)), or name one: make PYTHON=/path/to/python3 ...' >&2; exit 2; }
	@'$(PYTHON)' -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "$(PYTHON) is $$('$(PYTHON)' --version 2>&1); the portal runs on Python 3.11 to 3.13. Name such a one: make PYTHON=/path/to/python3 ..." >&2; exit 2; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: $(APT)' >&2; exit 2; }
	@# An environment that is there and works is kept; one that a kill or a new system Python broke is made anew.
	@$(RUN) -m pip --version >/dev/null 2>&1 || { echo 'Making $(VENV).'; '$(PYTHON)' -m venv --clear $(VENV); }
	@echo 'Installing the locked requirements; this is done once.'
	@$(PIP) -r requirements.txt
	@$(PIP) -r requirements-devserver.txt
	@$(CHECK_INSTALLED)
	@# Programs in the environment find the portal's code wherever they are called from. The path is relative to
	@# site-packages, so that the clone may be moved.
	@echo '../../../..' > "$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/portal-repository.pth"
	@rm -f $(VENV)/.installed-*
	@touch $@

$(INSTALLED_DEV): | $(INSTALLED)
	@echo 'Installing the locked test tools; this is done once.'
	@$(PIP) -r requirements-dev.txt
	@$(CHECK_INSTALLED)
	@touch $@
