# `make demo` and `make test` install what they need into .venv; nothing else is needed but Python and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Processes that share the tests, a file at a time.
JOBS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test test-slow test-gpu test-upstream test-hosts lint bench pictures claims golden clean

demo: $(VENV)/demo.installed
	$(BIN)/rmsprop fit examples/quadratic.csv "y = a*x**2 + b*x + c" --out demo

test: lint $(VENV)/chromium.tried
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not slow and not upstream and not hosts and not gpu"

test-slow: $(VENV)/test.installed
	$(BIN)/python -m pytest -m slow --timeout=1800

# On a machine with a CUDA device, of which PyTorch must be a build for it: without one these tests fail, where others skip them.
test-gpu: $(VENV)/test.installed
	RMSPROP_GPU=required $(BIN)/python -m pytest -m gpu tests/gpu

# Beside the live packages, in environments that `make golden` uses too: gigabytes of downloads at first.
test-upstream: $(VENV)/test.installed
	$(BIN)/python tests/upstream/install.py .golden
	RMSPROP_UPSTREAMS=.golden $(BIN)/python -m pytest -m upstream tests/upstream

# The examples that run inside large packages.
test-hosts: $(VENV)/hosts.installed
	$(BIN)/python -m pytest -m hosts tests/examples
	$(BIN)/python -m pytest tests/checkpoint -k "timm or bitsandbytes"

lint: $(VENV)/test.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/test.installed
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/torch_step.py
	$(BIN)/python benchmarks/optax_step.py
	$(BIN)/python benchmarks/keras_step.py
	$(BIN)/python benchmarks/checkpoint.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/nist.py
	$(BIN)/python benchmarks/fit.py
	$(BIN)/python benchmarks/race.py
	$(BIN)/python benchmarks/lab.py

# Make the pictures of the documentation anew.
pictures: $(VENV)/test.installed $(VENV)/chromium.tried
	$(BIN)/rmsprop fit examples/quadratic.csv "y = a*x**2 + b*x + c" --quiet --out $(VENV)/quadratic
	$(BIN)/rmsprop fit --recipe article --quiet --out $(VENV)/article
	mkdir -p docs/images
	cp $(VENV)/quadratic/fit.png docs/images/quadratic.png
	cp $(VENV)/article/fit.png docs/images/article.png
	$(BIN)/rmsprop race --quiet --out $(VENV)/race
	cp $(VENV)/race/race.png docs/images/race.png
	$(BIN)/python -m tests.lab.browser.picture docs/images/lab.png

# Test what the articles claim of RMSprop, and make docs/claims.json, its pictures and the tables of docs/claims.md anew.
claims: $(VENV)/test.installed
	$(BIN)/python benchmarks/claims.py

# Make the traces of tests/golden anew from the live upstream packages: gigabytes of downloads.
golden:
	$(PYTHON) tests/golden/make_all.py

$(VENV)/pip.installed:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "pip>=25.1"
	touch $@

$(VENV)/demo.installed: $(VENV)/pip.installed pyproject.toml
	$(PIP) install -e ".[fit]"
	touch $@

$(VENV)/test.installed: $(VENV)/pip.installed pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e ".[fit,race,checkpoint,lab]" --group dev
	touch $@ $(VENV)/demo.installed

# The lab's page is tested in Debian's Chromium. Where it cannot be installed, these tests say so, and skip but in CI.
$(VENV)/chromium.tried: $(VENV)/pip.installed
	command -v chromium >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-noto-cjk; } \
		|| echo "Chromium could not be installed: the tests of the lab's page will not run"
	touch $@

$(VENV)/hosts.installed: $(VENV)/test.installed
	$(PIP) install -c constraints.txt --group hosts
	touch $@

clean:
	rm -rf $(VENV) build dist demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
