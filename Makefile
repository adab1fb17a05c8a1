# `make bench` and `make test` do everything on a fresh machine. Every target sets itself up.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# The matrix: what `unposed run --help` says of each. DATA may name several folders, separated by colons.
SCENES       ?= blocks
METHODS      ?= all
DEGRADATIONS ?= clean
SEEDS        ?= 0
EFFORT       ?= quick
WORKERS      ?= 1
DEVICE       ?=
DATA         := $(or $(DATA),$(UNPOSED_DATA))
OUT          ?= runs/$(EFFORT)
ARGS         ?=
TESTS        ?= tests
# more than the two cores: many tests wait for processes of their own
JOBS         ?= 3

export UNPOSED_DATA := $(DATA)

.PHONY: bench ablation table reproduce reference tables report ui test fuzz captures benchmark benchmark-harness \
  benchmark-report benchmark-faults lint audit lock docs release setup setup-dev setup-locked clean help
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

bench: setup  ## run the matrix, log to MLflow, write the report: SCENES= METHODS= DEGRADATIONS= SEEDS= EFFORT= DATA= WORKERS= DEVICE= OUT=
	@status=0; $(BIN)/unposed run --scenes '$(SCENES)' --methods '$(METHODS)' --degradations '$(DEGRADATIONS)' \
	  --seeds '$(SEEDS)' --effort $(EFFORT) --workers $(WORKERS) $(if $(DEVICE),--device '$(DEVICE)') \
	  --out '$(OUT)' $(ARGS) || status=$$?; \
	  if [ $$status -le 1 ]; then $(BIN)/unposed report --out '$(OUT)' || status=$$?; fi; exit $$status

# GNeRF's ablations (paper, sec. 4.3) of the fast or the published preset, each a configuration: schedules, what each
# part is worth, and re-seeding, which the fast preset has and the published one has not
PRESET    ?= fast
WITHOUT   := schedule=A-B schedule=AB schedule=B adversarial=false inversion=false photometric=false
ABLATION   = $(if $(filter published,$(PRESET)),$\
  gnerf[preset=published]$(foreach part,$(WITHOUT) reseed=true,$(COMMA)gnerf[preset=published$(COMMA)$(part)]),$\
  gnerf$(foreach part,$(WITHOUT) reseed=false grid.pull=0.1,$(COMMA)gnerf[$(part)]))
COMMA     := ,

ablation: METHODS = $(subst ] $(COMMA),]$(COMMA),$(ABLATION))
ablation: OUT = runs/ablation-$(PRESET)
ablation: bench  ## the ablation table of GNeRF: PRESET=fast|published SCENES= SEEDS= EFFORT= DATA= WORKERS= OUT=

# Every method beside every other: what each was given stands in its row
TABLE := nerf,gnerf,colmap_nerf,colmap_nerf[mapper=global],barf,inerf,nerfmm

table: METHODS = $(TABLE)
table: SCENES = blocks,nerf_synthetic/chair
table: SEEDS = 0-2
table: OUT = runs/table
table: bench  ## all methods on blocks and chair, three seeds, and print the tables: DATA= WORKERS= SEEDS= EFFORT= OUT=
	@$(BIN)/unposed report --out '$(OUT)' --print

reproduce: METHODS = gnerf,nerf
reproduce: SEEDS = 0-1
reproduce: OUT = runs/reproduce
reproduce: bench  ## does this machine reproduce what was measured? SCENES= METHODS= SEEDS= DATA= OUT=
	@$(BIN)/unposed compare '$(OUT)' reference

reference: setup  ## add the cells of a run to the reference, or replace them: RUN=runs/x
	@$(BIN)/python -m bench.reference --merge $(RUN)

tables: setup  ## write the tables of README, docs and methods anew from the reference
	@$(BIN)/python -m reports.reference

report: setup  ## rewrite the report of OUT from its results
	@$(BIN)/unposed report --out '$(OUT)'

ui: setup  ## MLflow's pages on 127.0.0.1:5000
	@$(BIN)/unposed ui --out '$(OUT)'

test: setup-dev  ## the tests: TESTS=tests/bench for a part, JOBS= files side by side
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS) $(ARGS)

fuzz: setup-dev  ## mutated scenes, answers, results and selections, 10,000 of each kind; half an hour or more: FUZZ=1000
	@UNPOSED_FUZZ=$(or $(FUZZ),10000) $(BIN)/python -m pytest -n $(JOBS) -o timeout=0 tests/datasets/test_datasets_fuzz.py \
	  tests/bench/poses_io/test_poses_fuzz.py tests/bench/test_fuzz.py $(ARGS)

captures: setup-dev  ## what is quoted of real captures, again: templeRing's oracle, fox from photographs alone: DATA=
	@UNPOSED_CAPTURES=1 $(BIN)/python -m pytest -q -s tests/test_captures.py $(ARGS)

benchmark: METHODS = nerf,gnerf,barf,inerf,nerfmm,colmap_nerf
benchmark: setup-dev  ## how fast a device trains and judges, one table; on a machine that is idle: DEVICE= METHODS= EFFORT=quick,full ARGS='--out new.csv --against old.csv'
	@$(BIN)/python -W ignore tests/benchmarks/speed.py $(if $(DEVICE),--device '$(DEVICE)') --methods '$(METHODS)' --efforts '$(EFFORT)' $(ARGS)

benchmark-harness: setup-dev  ## what the harness costs a cell, and how long verbs take to start; on a machine that is idle: CELLS=10
	@$(BIN)/python -W ignore tests/benchmarks/overhead.py $(or $(CELLS),10)

benchmark-report: setup-dev  ## what the report of a large suite costs: seconds, memory, disk; on a machine that is idle: CELLS=10000
	@$(BIN)/python tests/benchmarks/report.py $(or $(CELLS),10000)

benchmark-faults: setup-dev  ## kill -9 at random: 200 cells must be those of an undisturbed run: CELLS= MINUTES= EXECUTOR=local|ray OUT=
	@$(BIN)/python tests/benchmarks/kills.py '$(if $(filter runs/quick,$(OUT)),runs/benchmark-faults,$(OUT))' \
	  --cells $(or $(CELLS),200) --minutes $(or $(MINUTES),10) --executor $(or $(EXECUTOR),local) $(ARGS)

lint: setup-dev audit  ## style, types, who may import whom, and advisories on what is pinned
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/pyright

audit: setup-dev  ## known vulnerabilities of the pinned versions, where they can be asked for; AUDIT=required: must be
	@$(BIN)/python .ci/audit.py

# Of the networks' requirements, those that are never loaded stay away; pip, of pip-audit, is the environment's own.
# torch is a build for CPUs: from the disk, or from its makers
NOT_LOCKED := opencv-python opencv-python-headless gdown pysocks poselib pip

lock: setup-dev  ## .ci/requirements.txt anew: what CI installs, each file by its hash
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip compile --quiet --no-config --python $(BIN)/python \
	  $(if $(PIP_FIND_LINKS),--find-links '$(PIP_FIND_LINKS)',--index https://download.pytorch.org/whl/cpu) \
	  --index-strategy unsafe-best-match -c constraints.txt --extra dev --extra docs \
	  $(addprefix --no-emit-package ,$(NOT_LOCKED)) --generate-hashes --no-annotate --no-header \
	  pyproject.toml .ci/requirements.in -o .ci/requirements.txt

docs: $(VENV)/.installed-docs  ## the pages of docs/, with their API and the record as a site, into build/docs
	@$(BIN)/python -m reports.reference --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@$(BIN)/python -m reports.reference --site build/docs/record && echo $(CURDIR)/build/docs/index.html

release: setup-dev  ## the wheel and the source archive of this commit, into dist/, once the wheel's tests pass
	@test -z "$$(git status --porcelain)" || { echo "release: commit or stash first: a release is a commit"; exit 2; }
	@rm -rf build dist && $(BIN)/python -m pytest tests/test_wheel.py tests/test_release.py
	@$(BIN)/python -m build --outdir dist . >build.log 2>&1 || { tail -20 build.log; exit 1; }; rm -f build.log
	@ls -1 dist; echo "next: git tag v<version>, $(BIN)/python -m twine upload dist/* (pip install twine)"

setup: $(VENV)/.installed  ## the environment alone, in .venv
setup-dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; about 2 GB)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

setup-locked:  ## the environment of CI, CPython 3.11 on x86-64: each file by its hash (.ci/requirements.txt)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .ci/requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(VENV)/.installed $(VENV)/.installed-dev $(VENV)/.installed-docs

clean:  ## remove the environment and caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
