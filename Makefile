# Each command makes the virtual environment it needs, from a Python 3.10+ with its venv module.
PYTHON ?= python3
VENV   := .venv
TOOLS  := .tools
DOCS   := .docs
ENGINES := .engines
SCHEMAS ?= tests/comparison/schemas
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint integration engines benchmark memory resilience simulation soak killed compare chaos fuzz secrets native sanitize native-fuzz mutate range docs package release lock audit stack-up stack-down clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## real data through a failing registry, on an embedded stack
	$(BIN)/kafka-sr-retry demo

test: $(VENV)/.dev ## unit and embedded tests (15 minutes; first gets 1 GB)
	@echo "Some 8,000 tests: about 15 minutes on two cores. Nothing outside this folder is changed."
	$(BIN)/pytest

lint: $(VENV)/.dev ## style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

integration: $(VENV)/.dev ## tests on real servers (Java, Maven, Prometheus; or yours)
	$(BIN)/pytest tests/integration

engines: $(VENV)/.dev $(ENGINES)/.done ## the same from Spark's executors (gets 460 MB)
	$(BIN)/pytest tests/integration/test_engines.py

benchmark: $(VENV)/.dev ## what a message costs, beside the peers (twelve minutes)
	-for peer in avroc cavro cerializer spavro orjson msgspec; do $(BIN)/$(INSTALL) $$peer; done
	$(BIN)/python benchmarks/encoding.py
	$(BIN)/python benchmarks/registration.py
	$(BIN)/python benchmarks/asyncio_loop.py
	$(BIN)/python benchmarks/produce.py
	$(BIN)/pytest benchmarks -p no:cacheprovider

memory: $(VENV)/.dev ## what topics and serializers take; is memory flat
	$(BIN)/python benchmarks/memory.py

resilience: $(VENV)/.dev ## both clients on a registry's bad days (twelve minutes)
	$(BIN)/python benchmarks/resilience.py

simulation: $(VENV)/.dev ## fleets and a registry that was down (ten minutes)
	$(BIN)/python benchmarks/simulation.py --plot docs/simulation.png

soak: $(VENV)/.dev ## half an hour while registries come and go: is all flat
	$(BIN)/python -m trials.soak --plot docs/soak.png

killed: $(VENV)/.dev ## SIGKILL while ids are written to disk: KILLS=200 SEED=1
	$(BIN)/python -m trials.killed --kills $(or $(KILLS),200) --seed $(or $(SEED),1)

compare: $(VENV)/.dev ## our bytes and requests beside Confluent's: SCHEMAS=folder
	$(BIN)/python -m tests.comparison $(SCHEMAS)

chaos: $(VENV)/.dev ## seeded faults of real servers: SEED=n SECONDS=120 (needs Go)
	$(BIN)/python -m trials.chaos $(if $(SEED),--seed $(SEED)) --seconds $(or $(SECONDS),120)

fuzz: $(VENV)/.dev ## hostile answers, schemas, objects: CASES=40000 SEED=1
	$(BIN)/python -m trials.fuzz --cases $(or $(CASES),40000) --seed $(or $(SEED),1)

secrets: $(VENV)/.dev ## is a credential told anywhere? SHARE=10 SEED=n
	$(BIN)/python -m trials.secrets $(if $(SHARE),--share $(SHARE)) $(if $(SEED),--seed $(SEED))

native: $(VENV)/.dev ## native, compiled, fastavro: same bytes? VALUES=20000 SEED=1
	$(BIN)/python -m trials.native --values $(or $(VALUES),20000) --seed $(or $(SEED),1)

sanitize: $(VENV)/.dev ## the native encoder under ASan and UBSan (needs gcc)
	VALUES=$(VALUES) SEED=$(SEED) .ci/sanitize

native-fuzz: $(VENV)/.dev ## the same, what to try led by coverage: SECONDS=600 JOBS=1
	$(BIN)/$(INSTALL) 'atheris>=3,<4'
	LASTS=$(or $(SECONDS),600) .ci/native-fuzz

range: ## tests at both ends of the range (needs Python 3.10, 3.14)
	.ci/range

mutate: $(VENV)/.dev ## changes that no test sees (an hour or more; goes on)
	$(BIN)/$(INSTALL) mutmut==3.8.1
	PATH="$(CURDIR)/$(BIN):$$PATH" mutmut run
	$(BIN)/python -m trials.mutation

docs: $(VENV)/.dev $(DOCS)/.done ## the pages as a site in build/, then looked at in Chromium
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	$(BIN)/pytest -q tests/site

package: ## build the wheel, and run the demo from it alone
	.ci/package

release: $(TOOLS)/.done $(VENV)/.dev ## wheel, sources, bill of materials in dist/; shows them
	PYTHON=$(PYTHON) .ci/release

lock: $(TOOLS)/.done ## pin all dependencies anew (KEEP=--keep: what fits stays)
	.ci/lock $(KEEP)

audit: $(TOOLS)/.done ## known faults of what is pinned (asks an online database)
	.ci/audit

stack-up: ## Kafka and two Confluent registries in Docker
	docker compose up --detach --wait

stack-down: ## end them
	docker compose down --volumes

clean: ## remove what the commands made
	rm -rf $(VENV) $(TOOLS) $(DOCS) $(ENGINES) .stack dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks mutants

# what was tested: pinned, with hashes
INSTALL = pip install --quiet --disable-pip-version-check

$(VENV)/.demo: pyproject.toml requirements/extras.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(INSTALL) --requirement requirements/extras.txt
	$(BIN)/$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml requirements/dev.txt
	@echo "Installing into $(CURDIR)/$(VENV): $$(grep -c '^[a-z]' requirements/dev.txt) packages of requirements/dev.txt, 1 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(INSTALL) --requirement requirements/dev.txt
	$(BIN)/$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.demo

$(TOOLS)/.done: requirements/tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/$(INSTALL) --requirement requirements/tools.txt
	@touch $@

$(DOCS)/.done: requirements/docs.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/$(INSTALL) --requirement requirements/docs.txt
	@touch $@

$(ENGINES)/.done: requirements/engines.txt
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES)/bin/$(INSTALL) --requirement requirements/engines.txt
	@touch $@
