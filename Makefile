# Touchstone. `make run` starts it, `make test` checks it; both install what they need into .venv.

PYTHON_ENV := .venv/bin/python
# Most tests wait for a database, a browser or a process. Whoever is done takes over from the others.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist worksteal
OPTIONS := $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT))

.PHONY: help install install-test run test trl parity check bench bench-gpu clean

help:
	@echo 'make run      install, then start everything with the demo project (PORT=8000 HOST=127.0.0.1)'
	@echo 'make install  install into .venv (TORCH=cpu|cuda|none, PYTHON=python3.12)'
	@echo 'make test     run all tests (ARGS="tests/setup -x -n 0", CHROMIUM=/path/to/chrome)'
	@echo 'make trl      TRL trains on a snapshot as it is, in an environment of its own (.venv-trl)'
	@echo 'make check    format, lint, types, import contracts, templates, migrations'
	@echo 'make bench    print the benchmark tables'
	@echo 'make bench-gpu  the trainer on a CUDA device: attention, compiling, generation'
	@echo 'make parity   compare the trainer with TRL step by step, in an environment of its own'
	@echo 'make clean    remove caches; .venv and var stay'

install:
	@TORCH='$(TORCH)' PYTHON='$(PYTHON)' sh .ci/install train

install-test:
	@TORCH='$(TORCH)' PYTHON='$(PYTHON)' sh .ci/install test

run:
	@TORCH='$(TORCH)' PYTHON='$(PYTHON)' sh .ci/install run
	@exec $(PYTHON_ENV) -P -m app.cli up --demo $(OPTIONS)

# Else each process that a test starts compiles the application anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: install-test
	@CHROMIUM="$$(CHROMIUM='$(CHROMIUM)' sh .ci/browser)" exec $(PYTHON_ENV) -m pytest $(SIDE_BY_SIDE) $(ARGS)

trl: install-test
	@$(PYTHON_ENV) -m tests.parity.environment
	$(PYTHON_ENV) -m pytest tests/loading -n 0

check: install-test
	$(PYTHON_ENV) -m ruff format --check .
	$(PYTHON_ENV) -m ruff check .
	$(PYTHON_ENV) -m mypy app
	$(PYTHON_ENV) -c 'from importlinter.cli import lint_imports_command as check; check()'
	$(PYTHON_ENV) -m djlint templates --lint --quiet
	$(PYTHON_ENV) -m codespell_lib app migrations static templates tests README.md Makefile
	$(PYTHON_ENV) .ci/templates.py
	$(PYTHON_ENV) -m pytest -q -p no:randomly tests/architecture

bench: install-test
	@for file in tests/benchmarks/[a-z]*.py; do \
	  name=$$(basename "$$file" .py); \
	  echo "== $$name"; \
	  $(PYTHON_ENV) -m tests.benchmarks.$$name || exit 1; \
	done

bench-gpu: install-test
	@$(PYTHON_ENV) -m tests.benchmarks.gpu $(ARGS)

parity: install-test
	$(PYTHON_ENV) -m tests.parity $(ARGS)

clean:
	rm -rf build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find app tests migrations -name __pycache__ -type d -prune -exec rm -rf {} +
