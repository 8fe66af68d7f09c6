# Everything a developer runs. It needs Python >= 3.11, git and make; uv does the work with the committed lock.
# Where uv is missing, a virtual environment of the project's own gets it, and nothing else.
UV_VERSION := 0.13.9
PYTHON ?= python3
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
BIN := .venv/bin
READY := .venv/.ready

# uv takes the Python that is here: fetching one would need more network than PyPI.
export UV_PYTHON_DOWNLOADS := never

.PHONY: demo test check long bench bench-scaling

demo: $(READY)
	@$(BIN)/ro demo

# Most tests wait, for brokers and for processes: so three at a time, on two cores as on many.
test: $(READY)
	@$(BIN)/pytest -n 3 --dist worksteal

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every finder with long bounds: make long MINUTES=600 for a night. Each says how to see again what it has found.
MINUTES ?= 60
long: $(READY)
	$(BIN)/ro-sim explore --seconds $$(($(MINUTES) * 20))
	$(BIN)/ro-sim fuzz --seconds $$(($(MINUTES) * 10)) --seed $$(date +%s)
	$(BIN)/ro-sim run --seeds $$(($(MINUTES) * 20)) --from $$(date +%s)
	$(BIN)/ro-sim plant --layer days --layer worlds
	$(BIN)/ro chaos --rounds $$(($(MINUTES) * 2)) --seed $$(date +%s)

# All of it, or some: make bench PART="decisions peers". Figures and charts go to docs/figures.
bench: $(READY)
	@UV=$(UV) $(BIN)/python -m benchmarks.suite $(PART)

# What a cell can hold, and how that grows: the figures and curves of docs/scaling.md. Half an hour.
SCALING := memory start cells growth replicas
bench-scaling: $(READY)
	@set -e; for part in $(SCALING); do \
	    $(BIN)/python -m benchmarks.$$part --json > docs/figures/scaling/$$part.new; \
	    mv docs/figures/scaling/$$part.new docs/figures/scaling/$$part.json; \
	done
	@$(BIN)/python -m benchmarks.curves

$(READY): pyproject.toml uv.lock | $(UV)
	@$(UV) sync --locked --quiet
	@touch $@

.uv/bin/uv:
	@$(PYTHON) -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
