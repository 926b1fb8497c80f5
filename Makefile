# Two commands on a fresh Debian-like machine: `make run` and `make test`. Everything is set up under this directory;
# only `make test`, and only as root, installs packages of the system (by apt, and says which).

PYTHON ?= python3
ARGS ?=
# Tests of calls mostly wait: one process more than there are cores. Each has an Asterisk and ports of its own.
TESTS_AT_ONCE ?= $(shell expr $$(nproc) + 1)
PYTEST = $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder --maxprocesses 4
BIN := .venv/bin
TIMES ?= 20
CACHE := .cache

.DEFAULT_GOAL := run
.PHONY: run test demo bench chaos explore check clean setup lock asterisk voices english test-tools python-is-new-enough

run: setup            ## Asterisk and the engine in the foreground; Ctrl-C stops both
	@exec $(BIN)/dozvon up $(ARGS)

test: setup english test-tools  ## every test; what cannot be installed here is skipped, and said
	@$(PYTEST) -n $(TESTS_AT_ONCE) $(ARGS)

check: .venv/.ready   ## format, lint, types, layers, unit and property tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(PYTEST) -n auto -q tests/unit tests/property $(ARGS)

demo: setup           ## with `make run` up elsewhere: a resident phones, the staff is rung, the walk is printed
	@exec $(BIN)/dozvon demo-call $(ARGS)

bench: setup          ## figures and ratios; ARGS="reaction --quick" runs one
	@exec $(BIN)/python -m bench $(ARGS)

explore: .venv/.ready ## property tests with new random examples each time, TIMES times; what they find becomes an @example
	@for round in $$(seq $(TIMES)); do HYPOTHESIS_PROFILE=explore $(PYTEST) -n auto -q tests/property $(ARGS) || exit 1; done

chaos: setup          ## long kill schedules
	@DOZVON_CHAOS=long $(BIN)/python -m pytest --timeout 0 tests/crash $(ARGS)

clean:                ## forget everything that was set up or written, but not the recordings
	rm -rf .venv $(CACHE) var

# ---------------------------------------------------------------------------------------------------- setting up

setup:                ## virtual environment, Asterisk and voices, at the same time; returns at once when all are there
	@$(MAKE) -s -j3 .venv/.ready asterisk voices

.venv/.ready: requirements.lock pyproject.toml | python-is-new-enough
	@begun=$$(date +%s); \
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "making a virtual environment in .venv"; \
	    $(PYTHON) -m venv --clear .venv >/dev/null 2>&1 || { $(call host_package,python3-venv,/nonexistent); \
	        $(PYTHON) -m venv --clear .venv; }; } || { \
	    echo "$(PYTHON) cannot make a virtual environment; install python3-venv, then run it again" >&2; exit 1; }; \
	echo "installing Python packages (about 150 MB)"; \
	[ -x $(BIN)/uv ] || $(BIN)/python -m pip install -q --disable-pip-version-check uv || { \
	    echo "pip could not install uv; see that pip works on this machine (network, index, CA bundle)" >&2; exit 1; }; \
	{ $(UV_PIP) install -q --require-hashes -r requirements.lock; } && { $(UV_PIP) install -q --no-deps -e .; } || { \
	    echo "the Python packages could not be installed; see the lines above, then run it again" >&2; exit 1; }; \
	touch $@; echo "Python packages: done in $$(($$(date +%s) - begun)) s"

# uv does not read pip's settings: hand over the machine's own index, if pip has been given one.
PIP_INDEX = $${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null)}}
UV_PIP = index="$(PIP_INDEX)"; env VIRTUAL_ENV=.venv $${index:+UV_DEFAULT_INDEX="$$index"} $(BIN)/uv pip

asterisk: | python-is-new-enough
	@$(PYTHON) asterisk/fetch.py asterisk --into $(CACHE)/asterisk

voices: | python-is-new-enough
	@$(PYTHON) asterisk/fetch.py voices --into $(CACHE)/rhvoice || echo "going on without a voice"

english: voices       ## an English voice (34 MB) beside the Russian ones, for lines with «language: en»
	@$(PYTHON) asterisk/fetch.py english --into $(CACHE)/rhvoice || echo "going on without an English voice"

python-is-new-enough:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=/path/to/python3.12" >&2; exit 1; }

lock: .venv/.ready    ## choose the versions of requirements.lock anew
	@$(UV_PIP) compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --all-extras pyproject.toml -o requirements.lock

# ---------------------------------------------------------------------------------------- what tests need besides

test-tools:
	@$(call host_package,sip-tester,/usr/bin/sipp)
	@$(call host_package,chromium,/usr/bin/chromium)
	@$(call host_package,postgresql,/usr/lib/postgresql/*/bin/initdb)
	@$(call host_package,kannel,/usr/sbin/bearerbox)
	@$(call host_package,kannel-extras,/usr/lib/kannel/test/fakesmsc)

# $(call host_package,PACKAGE,FILE that shows that it is there)
define host_package
ls $(2) >/dev/null 2>&1 || { mkdir -p $(CACHE); \
    if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
        echo "note: $(1) is missing and cannot be installed here without root; what needs it is skipped"; \
    else \
        echo "installing $(1) with apt"; \
        apt-cache show $(1) >/dev/null 2>&1 || apt-get -q update >$(CACHE)/apt-update.log 2>&1; \
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 \
            $(1) >$(CACHE)/apt-$(1).log 2>&1 </dev/null \
        || echo "note: $(1) could not be installed ($(CACHE)/apt-$(1).log says why); what needs it is skipped"; \
    fi; }
endef
