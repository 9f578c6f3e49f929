# The project's interface: bare `make` explains every target.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_TO_RUN := $(VENV)/.ready-to-run
GENERATORS := contract rules alertmanager dashboards
FAULT ?= agent-down
# Most tests wait for real programs, so four workers are not too many for two cores. What PYTEST chooses runs without them.
SIDE_BY_SIDE := --numprocesses=4 --dist=loadfile --no-loadscope-reorder

# The first interpreter of 3.11 or newer; `make PYTHON=/path/to/python3` names another.
FIND_PYTHON = for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done

.PHONY: help
help: ## Print every target with what it does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: ## Start everything, in Docker where it answers, else natively; TELEMETRY=1 adds traces and logs
	@deploy/stack.sh up

.PHONY: down
down: ## Stop what `make up` started, and nothing else; the data stays
	@deploy/stack.sh down

.PHONY: status
status: ## Show what runs and where
	@deploy/stack.sh status

.PHONY: reload
reload: ## Let the running services read their configuration again
	@deploy/stack.sh reload

.PHONY: pin-tools
pin-tools: ## Approve the tools that your agents list now: write them into the file that pinned_tools names
	@deploy/stack.sh pin-tools

.PHONY: check-config
check-config: ## Check your exporter.yaml, sidecar.yaml and roles.yaml: every mistake with its line and mend
	@deploy/stack.sh check-config

.PHONY: demo-break
demo-break: ## Break something: FAULT=agent-down, agent-slow, bad-tokens, tool-errors, workflow-failures or cpu
	@deploy/stack.sh break "$(FAULT)"

.PHONY: demo-heal
demo-heal: ## Heal every fault, or only FAULT=... when it is given
	@deploy/stack.sh heal $(if $(filter-out file default,$(origin FAULT)),"$(FAULT)")

.PHONY: test
test: $(READY) ## Run every test, real Prometheus and Alertmanager included; PYTEST="-k name" passes options on
	@$(BIN)/python -m tests.tools
	@$(BIN)/python -m pytest $(or $(PYTEST),$(SIDE_BY_SIDE))

.PHONY: check
check: $(READY) ## Check format, lint, types, that generated files are fresh and configurations valid
	@echo "==> format" && $(BIN)/ruff format --check .
	@echo "==> lint" && $(BIN)/ruff check .
	@echo "==> types" && $(BIN)/mypy .
	@echo "==> generated files" && $(BIN)/python -m contract.generate --check $(GENERATORS)
	@echo "==> configurations" && $(BIN)/python -m deploy.native check

.PHONY: generate
generate: $(READY) ## Write the generated rules, routes and dashboards from their sources, or nothing if one is wrong
	@$(BIN)/python -m contract.generate $(GENERATORS)

.PHONY: format
format: $(READY) ## Format the code and mend what lint can mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

.PHONY: bench
bench: $(READY) ## Measure against named peers, side by side, and print a table
	@$(BIN)/python -m deploy.native.packages blackbox_exporter
	@$(BIN)/python -m bench

.PHONY: fetch-tools
fetch-tools: $(READY) ## Fetch Prometheus and its relatives ahead of time (unpacked below .lookout/, not installed)
	@$(BIN)/python -m tests.tools

.PHONY: pin
pin: $(READY) ## Write the versions that are installed now into constraints.txt, for every machine to install
	@{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt

.PHONY: setup
setup: $(READY) ## Make the Python environment in .venv (the other targets do it when needed)

.PHONY: setup-to-run
setup-to-run: $(READY_TO_RUN) ## Make it with only what the running stack needs (`make up` does it without Docker)

.PHONY: clean
clean: ## Stop everything and remove what make made: data, volumes, packages and the Python environment
	@deploy/stack.sh clean
	@rm -rf .lookout $(VENV) $(VENV).lock mcp_lookout.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY) $(READY_TO_RUN): pyproject.toml $(wildcard constraints.txt) deploy/bootstrap.py
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
		echo "No Python 3.11 or newer found. Install one (Debian and Ubuntu: apt install python3 python3-venv)," >&2; \
		echo "or name it: make PYTHON=/path/to/python3. With Docker, \`make up\` needs no Python." >&2; exit 1; \
	fi; \
	"$$python" deploy/bootstrap.py $(VENV) $(if $(filter $(READY_TO_RUN),$@),to-run)
