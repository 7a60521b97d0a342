# Targets of rnn_lab; `make` alone prints them.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PARALLEL := -n auto --dist loadfile
# The demo and the tests train tiny models: they gain nothing from a second thread.
demo test test-slow test-kernels drill check notebooks docs pictures: export OMP_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help install kernels demo test test-slow test-kernels drill check format lint types bench bench-check notebooks docs pictures figures clean

help:  ## Print these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,notebooks,docs,sweep]'
	@touch $@

install: $(READY)  ## Make .venv with everything in it

kernels: $(READY)  ## Compile the kernels of recurrent layers into the cache of the user
	$(BIN)/rnn-lab kernels build

DEMO := runs/demo/first
demo: $(READY)  ## Train on generated reviews, test, classify three sentences
	$(BIN)/rnn-lab fit -c demo --experiment=demo --name=first --overwrite=true --test=true
	@printf '%s\n' 'the plot was not bad at all .' 'the cast was dull at first , but brilliant in the end .' \
	  'i expected a brilliant score and got a dull one .' \
	  | $(BIN)/rnn-lab predict --ckpt_path $(DEMO)/checkpoints/best.ckpt --input -
	@echo 'Results are in $(DEMO): curves.png, confusion_matrix.png, metrics.csv, checkpoints/best.ckpt'

test: $(READY)  ## Run the test suite, a process on each core
	$(BIN)/python -m pytest -q $(PARALLEL)

test-slow: $(READY)  ## Run the tests that take longer, and those on real data
	$(BIN)/python -m pytest -q $(PARALLEL) -m 'slow or data'

test-kernels: $(READY)  ## Run the tests of all layers with compiled kernels
	RNN_LAB_NATIVE=$$($(BIN)/rnn-lab kernels build) \
	  $(BIN)/python -m pytest -q $(PARALLEL) tests/nn tests/test_textbook.py

drill: $(READY)  ## Interrupt runs at random moments, 288 times (half an hour)
	RNN_LAB_DRILL=12 $(BIN)/python -m pytest -q -s -m slow tests/cluster/test_drill.py

check: lint types test test-slow test-kernels  ## Everything that must pass before a commit

format: $(READY)  ## Format the sources
	$(BIN)/ruff format .

lint: $(READY)  ## Check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --no-cache .

types: $(READY)  ## Check types
	$(BIN)/mypy

BENCH := runs/bench
bench: $(READY)  ## Measure speed in turns, write runs/bench/bench.json and bench.png (hours)
	mkdir -p $(BENCH)
	$(BIN)/rnn-lab bench --threads 1 2 --plain_too --json $(BENCH)/bench.json --plot $(BENCH)/bench.png

bench-check: $(READY)  ## Compare time ratios of layers with tests/benchmarks/baseline.json
	$(BIN)/rnn-lab bench layers --quick --threads 1 --rounds 15 --tolerance 0.5 \
	  --baseline tests/benchmarks/baseline.json

notebooks: $(READY)  ## Execute every notebook
	$(BIN)/python tests/run_notebooks.py

docs: $(READY)  ## Build the site in docs/_build/html, with warnings as errors
	$(BIN)/python -m sphinx -q -W --keep-going -d docs/_build/doctrees docs docs/_build/html

DARK := MATPLOTLIBRC=docs/dark.mplstyle
pictures: $(READY)  ## Train what the pictures of the site show, and draw them (ten minutes)
	$(BIN)/python docs/terminal.py docs/images/first_run.svg \
	  'rnn-lab fit -c demo --experiment=demo --name=first --overwrite --test' \
	  "echo 'the plot was not bad at all .' > runs/new.txt" \
	  'rnn-lab predict --experiment=demo --name=first --ckpt_path=best --input=runs/new.txt'
	$(BIN)/rnn-lab fit -c patched_lstm_forecaster --experiment=pictures --name=forecast --overwrite --test
	$(BIN)/rnn-lab fit -c attention_translator --experiment=pictures --name=dates --overwrite --test
	$(DARK) $(BIN)/rnn-lab fit -c demo --experiment=demo --name=first_dark --overwrite --test
	for run in forecast dates; do \
	  $(DARK) $(BIN)/rnn-lab test --ckpt_path=runs/pictures/$$run/checkpoints/best.ckpt \
	    --experiment=pictures --name=$${run}_dark || exit; \
	done
	$(BIN)/python docs/pictures.py runs

figures: $(READY)  ## Train what the tables of the site show (hours; caches, resumes)
	$(BIN)/python tests/benchmarks/accuracy.py
	$(BIN)/python tests/benchmarks/translation.py
	$(BIN)/python tests/benchmarks/forecasting.py
	$(BIN)/python tests/benchmarks/vowels.py
	$(BIN)/python tests/benchmarks/language.py
	$(BIN)/python tests/benchmarks/layers.py
	$(BIN)/python tests/benchmarks/long_memory.py
	$(BIN)/python tests/benchmarks/equal_time.py
	$(BIN)/rnn-lab claims --output=docs/results/claims

clean:  ## Remove .venv and caches, keep runs
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
