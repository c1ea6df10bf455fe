# make demo    both daemons, a traced program and the RFC's commands, on this machine
# make test    all tests; those against the genuine tools are skipped, with the reason, where these are missing
# make test-plane    tests of the relay daemon once more, with the plane in Python, where the compiled one is built
# make sanitize    the compiled plane beside the one in Python, with gcc's sanitizers; LTTNGNET_FUZZ=N is N times longer
# make soak    the relay daemon against hostile peers in numbers, for some minutes; LTTNGNET_SOAK=N is N times longer
# make bench   our relay daemon beside the genuine one, on a machine that does nothing else, for the page of the documentation
# make bench-quick    the same as an impression, within two minutes
# make lint    ruff, mypy
# make venv    only the virtual environment, .venv
# make clean   remove what these made

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/installed

# What is compiled where it can be; see setup.py.
COMPILED := $(wildcard lttngnet/*/_*.c lttngnet/*/*/_*.c)
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

.PHONY: demo test test-plane sanitize soak bench bench-quick lint venv clean

demo: $(INSTALLED)-kernel,ust
	@$(VENV)/bin/python -m lttngnet.demo

test: $(INSTALLED)-kernel,ust,test
	@$(VENV)/bin/python -m tests

test-plane: $(INSTALLED)-kernel,ust,test
	@LTTNGNET_PLANE=python $(VENV)/bin/python -m tests tests.relayd tests.interop.test_genuine_matrix

sanitize: $(INSTALLED)-kernel,ust,test
	@mkdir -p build/sanitize
	$(CC) -O1 -g -fPIC -shared $(SANITIZERS) -o build/sanitize/plane.so lttngnet/relayd/_plane.c
	@LTTNGNET_FUZZ=$${LTTNGNET_FUZZ:-5} LTTNGNET_TEST_PLANE=$(CURDIR)/build/sanitize/plane.so ASAN_OPTIONS=detect_leaks=0 \
	    LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    $(VENV)/bin/python -m tests tests.relayd.test_compiled

soak: $(INSTALLED)-kernel,ust,test
	@LTTNGNET_SOAK=$${LTTNGNET_SOAK:-5} $(VENV)/bin/python -m tests tests.soak

bench: $(INSTALLED)-kernel,ust
	@$(VENV)/bin/python -m bench --into doc/performance

bench-quick: $(INSTALLED)-kernel,ust
	@$(VENV)/bin/python -m bench --quick

lint: $(INSTALLED)-kernel,ust,test,dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

venv: $(INSTALLED)-kernel,ust

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "lttngnet needs Python 3.11 or newer; another one is named by: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV) \
	    || { rm -rf $(VENV); echo "No virtual environment can be made; on Debian: apt-get install python3-venv" >&2; exit 1; }

# A file for each set of extras: what it was installed from is setup.cfg, and what is compiled.
$(INSTALLED)-%: setup.cfg setup.py $(COMPILED) | $(VENV)/bin/python
	@echo "Installing lttngnet into $(VENV), with the extras $*"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch '$@'

clean:
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .pytest_cache .hypothesis
