# The two words of a developer's day are `make demo` and `make test`. Each target first makes the environment it needs.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench soak wheels clean
ARGS ?=
PART ?= all
WHEELS ?= dist/wheels
EXTRAS ?=

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin
SOURCES := pyproject.toml protocol/kerbwire/__init__.py
# MicroPython's stubs as each board.toml names them: each set in a folder of its own, since they would hide the host's modules.
STUBS := $(sort $(shell sed -n 's/^stubs = "\([a-z0-9-]\{1,\}\)".*/\1/p' boards/*/board.toml))
STUBS_VERSION := 1.29.0.post1

help:  ## what this file can do
	@sed -n 's/^\([a-z]*\):[^#]*## /make \1	/p' Makefile | expand -t 14

demo: .venv/stamp-tools  ## a street in a box: three emulated bins, a gateway, a council's broker (ARGS="--for 60s --json --chaos --link mqtt")
	@$(BIN)/kerb demo $(ARGS)

# Hundreds of processes import the same modules: they need not compile them each time.
test soak: export PYTHONDONTWRITEBYTECODE :=

test: .venv/stamp-dev .venv-oracle/stamp  ## every test, on both runtimes; under 8 minutes on two cores (ARGS="-k name")
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/stamp-dev $(STUBS:%=.venv-stubs/%/stamp-$(STUBS_VERSION))  ## ruff, pyright (the firmware against each board's stubs), import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	@for stubs in $(STUBS); do \
	  sed "s/STUBS/$$stubs/" .ci/pyright-firmware.json >.venv-stubs/$$stubs.json; \
	  echo "$(BIN)/pyright -p .venv-stubs/$$stubs.json"; \
	  $(BIN)/pyright -p .venv-stubs/$$stubs.json || exit 1; \
	done
	$(BIN)/lint-imports

bench: .venv/stamp-dev  ## the figures behind every claim (PART=wire|node|power|faults|levels|gateway|ble|links|district|alarms|lighting|street|lampheap|lampfaults|lora|slices|restore|field|tools|gateways|all, ARGS=--json)
	@$(BIN)/kerb bench $(PART) $(ARGS)

soak: .venv/stamp-dev .venv-oracle/stamp  ## long seeded sweeps: kills, power cuts, fuzzing
	$(BIN)/python -m pytest -m soak --run-soak $(ARGS)

wheels: .venv-wheels/stamp  ## a folder that a gateway is installed from without internet (WHEELS=folder EXTRAS=[ble])
	@rm -rf $(WHEELS)
	@.venv-wheels/bin/python -m pip wheel --quiet --wheel-dir $(WHEELS) '.$(EXTRAS)'
	@cd $(WHEELS) && sha256sum *.whl >SHA256SUMS
	@echo "$(WHEELS): $$(ls $(WHEELS)/*.whl | wc -l) wheels; gateway/SERVICE.md says how to install them"

clean:  ## removes the environments and every generated file
	rm -rf .venv .venv-oracle .venv-stubs .venv-wheels .pytest_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so an interrupted installation is taken up again.
.venv/stamp-tools: $(SOURCES)
	@$(call environment,.venv)
	@$(call install,.venv,-e '.[tools]')
	@touch $@

.venv/stamp-dev: $(SOURCES)
	@$(call environment,.venv)
	@$(call install,.venv,-e '.[dev]')
	@touch $@ .venv/stamp-tools

# pip, which collects wheels; an environment that uv made has none.
.venv-wheels/stamp: Makefile
	@$(call environment,.venv-wheels)
	@$(call install,.venv-wheels,pip)
	@touch $@

# The independent COSE library pins an older cbor2: it lives apart.
.venv-oracle/stamp: Makefile
	@$(call environment,.venv-oracle)
	@$(call install,.venv-oracle,'cwt==3.3.0' 'cbor2<6')
	@touch $@

.venv-stubs/%/stamp-$(STUBS_VERSION): | .venv/stamp-dev
	@rm -rf .venv-stubs/$*
	@$(call install,.venv,--target .venv-stubs/$* $*==$(STUBS_VERSION))
	@touch $@

define environment
test -x $(1)/bin/python || { \
  if [ -n "$(UV)" ]; then "$(UV)" venv --quiet $(1); \
  elif $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(PYTHON) -m venv $(1); \
  else echo "Python's venv module is missing. Install it with your system's package, on Debian and Ubuntu:" \
    "sudo apt-get install python3-venv" >&2; exit 1; fi; }
endef

define install
echo "Installing into $(1) ..." >&2; \
if [ -n "$(UV)" ]; then VIRTUAL_ENV=$(1) "$(UV)" pip install --quiet $(2); \
else $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2); fi
endef
