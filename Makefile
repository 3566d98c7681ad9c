# koine: `make demo` takes the sample corpora through everything, `make test` checks it.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
STAMP := .venv/.installed

.PHONY: demo test lint bench schema docs venv clean

demo: $(STAMP)
	$(BIN)/python samples/layout.py --out build/samples
	$(BIN)/koine run corpora.yaml --out build/demo
	$(BIN)/python samples/fill_mask.py build/demo/export

test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Each benchmark prints its own table; benchmarks/README.md says what each one compares.
bench: $(STAMP)
	$(BIN)/python benchmarks/run_all.py

schema: $(STAMP)
	$(BIN)/koine schema --out corpora.schema.json

docs: $(STAMP)
	$(BIN)/python docs/generate.py

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("koine needs Python 3.11 to 3.13, found " + sys.version.split()[0] \
	    + "; name another one: make PYTHON=python3.12 ...") if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0'
	$(PYTHON) -m venv .venv
	$(PIP) "$$(grep '^torch==' constraints.txt)"  # first, so that a build of your choice is kept
	$(PIP) -c constraints.txt -e '.[pipelines,pretrain,tasks,dev]'
	@touch $(STAMP)

clean:
	rm -rf build pipelines/__pycache__ tokenizer/__pycache__ pretrain/__pycache__ .mypy_cache .ruff_cache .pytest_cache .hypothesis
