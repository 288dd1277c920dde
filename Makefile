# Each command makes the virtual environment it needs, from a Python 3.10+ with its venv module.
PYTHON ?= python3
VENV   := .venv
TOOLS  := .tools
SCHEMAS ?= tests/comparison/schemas
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint integration benchmark resilience simulation soak compare chaos fuzz secrets mutate range package release lock audit stack-up stack-down clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## the main job: real data through a failing registry, on an embedded broker and registry
	$(BIN)/kafka-sr-retry demo

test: $(VENV)/.dev ## unit tests, and tests on the embedded broker and registry
	$(BIN)/pytest

lint: $(VENV)/.dev ## style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

integration: $(VENV)/.dev ## tests on a real Kafka, registry and Prometheus (needs Java, Maven and Prometheus, or your own stack)
	$(BIN)/pytest tests/integration

benchmark: $(VENV)/.dev ## what a message and a registry without a leader cost, beside the peers (about six minutes)
	-$(BIN)/pip install --quiet --disable-pip-version-check avroc cavro
	$(BIN)/python benchmarks/encoding.py
	$(BIN)/python benchmarks/registration.py
	$(BIN)/pytest benchmarks -p no:cacheprovider

resilience: $(VENV)/.dev ## both clients on a registry's bad days, in one run (about twelve minutes)
	$(BIN)/python benchmarks/resilience.py

simulation: $(VENV)/.dev ## fleets meet a registry that was down, on a virtual clock (about ten minutes)
	$(BIN)/python benchmarks/simulation.py --plot docs/simulation.png

soak: $(VENV)/.dev ## half an hour of production while the registries come and go: is all of it flat
	$(BIN)/python -m trials.soak --plot docs/soak.png

compare: $(VENV)/.dev ## our bytes and requests beside Confluent's, for each schema in SCHEMAS=folder
	$(BIN)/python -m tests.comparison $(SCHEMAS)

chaos: $(VENV)/.dev ## seeded faults between producers and real servers: SEED=n SECONDS=120 (needs Java, Maven and Go)
	$(BIN)/python -m trials.chaos $(if $(SEED),--seed $(SEED)) --seconds $(or $(SECONDS),120)

fuzz: $(VENV)/.dev ## hostile answers, schemas and objects: CASES=40000 SEED=1 (about twenty minutes)
	$(BIN)/python -m trials.fuzz --cases $(or $(CASES),40000) --seed $(or $(SEED),1)

secrets: $(VENV)/.dev ## is a credential told anywhere, whatever goes wrong? SHARE=10 SEED=n
	$(BIN)/python -m trials.secrets $(if $(SHARE),--share $(SHARE)) $(if $(SEED),--seed $(SEED))

range: ## tests at both ends of the range (needs Python 3.10 and 3.13)
	.ci/range

mutate: $(VENV)/.dev ## what no test sees if it is changed in the core (an hour or more; goes on where it stopped)
	$(BIN)/$(INSTALL) mutmut==3.8.1
	PATH="$(CURDIR)/$(BIN):$$PATH" mutmut run
	$(BIN)/python -m trials.mutation

package: ## build the wheel, and run the demo from it in an empty environment
	.ci/package

release: $(TOOLS)/.done ## wheel, sources, bill of materials, checksums in dist/
	PYTHON=$(PYTHON) .ci/release

lock: $(TOOLS)/.done ## pin all dependencies anew (KEEP=--keep: what fits stays)
	.ci/lock $(KEEP)

audit: $(TOOLS)/.done ## known faults of what is pinned (asks an online database)
	.ci/audit

stack-up: ## Kafka and two Confluent registries in Docker (docker-compose.yml)
	docker compose up --detach --wait

stack-down: ## end them
	docker compose down --volumes

clean: ## remove what the commands made
	rm -rf $(VENV) $(TOOLS) .stack dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks mutants

# what was tested: pinned, with hashes
INSTALL = pip install --quiet --disable-pip-version-check

$(VENV)/.demo: pyproject.toml requirements/extras.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(INSTALL) --requirement requirements/extras.txt
	$(BIN)/$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(INSTALL) --requirement requirements/dev.txt
	$(BIN)/$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.demo

$(TOOLS)/.done: requirements/tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/$(INSTALL) --requirement requirements/tools.txt
	@touch $@
