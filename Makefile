# `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(shell find proto -name '*.proto' | sort)
STAGED := build/googleapis
DESCRIPTORS := generated/imagegateway/v1/descriptors.binpb
DESCRIPTION := generated/imagegateway/v1/openapi.json
COMMENTED := build/commented.binpb
RELEASED := proto/released.binpb
RELEASED_CODE := tests/jobs/data/last-release.tar.xz
PRESENT := build/present.binpb
GENERATED := generated docs/api.md docs/reasons.md docs/settings.md docs/metrics.md deploy/monitoring/dashboard.json
SDKS := build/sdks/bin/python -m pytest \
	--noconftest --disable-warnings --override-ini addopts= --override-ini filterwarnings=default

CLIENTS := build/clients

.PHONY: help setup setup-dev run generate format check lint imports types validate breaking news words \
	test test-fast coverage mutants test-fleet test-dist test-emulators test-clients test-api test-docs test-monitoring redoc test-page test-deploy image bench bench-smoke docs dist audit released clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.runtime  ## Install the gateway and its dependencies into .venv
setup-dev: $(VENV)/.dev  ## Install the tools of tests and checks, too

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("imagegateway needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@tools/quietly.sh 'Creating the Python environment $(VENV)' $(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock requirements-build.lock pyproject.toml | $(BIN)/python
	@tools/quietly.sh 'Installing the dependencies' \
		$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-build.lock
	@tools/quietly.sh 'Installing imagegateway' \
		$(BIN)/pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@tools/quietly.sh 'Installing the tools of tests and checks' \
		$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

run: setup  ## Start the whole stack and make a first image
	@exec $(BIN)/imagegateway up

$(STAGED)/.staged: $(VENV)/.dev
	@rm -rf $(STAGED) && mkdir -p $(STAGED)/google
	@cp -r $$($(BIN)/python -c 'import google.api, pathlib; print(pathlib.Path(google.api.__path__[0]).parent)')/{api,rpc} $(STAGED)/google/
	@find $(STAGED) -type f -not -name '*.proto' -delete
	@touch $@

generate: $(STAGED)/.staged  ## Generate code and the API description from proto/, reference pages of docs/, and the dashboard
	@rm -rf generated && mkdir -p generated
	@$(BIN)/python -m grpc_tools.protoc -Iproto -I$(STAGED) \
		--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--python_out=generated --grpc_python_out=generated \
		--mypy_out=quiet:generated --mypy_grpc_out=quiet:generated $(PROTOS)
	@touch generated/imagegateway/v1/py.typed generated/imagegateway/admin/v1/py.typed
	@$(BIN)/buf build --as-file-descriptor-set --exclude-source-info \
		--type imagegateway.v1 --type imagegateway.admin.v1 -o $(DESCRIPTORS)
	@$(BIN)/buf build --as-file-descriptor-set -o $(COMMENTED)
	@$(BIN)/python -m tools.openapi $(COMMENTED) $(DESCRIPTION)
	@$(BIN)/python -m tools.reference $(COMMENTED) $(DESCRIPTION)
	@$(BIN)/python -m tools.dashboard

format: $(STAGED)/.staged  ## Format protos and Python
	$(BIN)/buf format --write proto
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

check: setup-dev $(STAGED)/.staged lint imports words breaking news types validate  ## Run all checks that need no running stack
	@$(MAKE) --no-print-directory generate
	@test -z "$$(git status --porcelain -- $(GENERATED))" || { \
		git status --short -- $(GENERATED); echo 'these are not current: run make generate and commit'; exit 1; }

lint: $(STAGED)/.staged  ## Run buf lint, ruff check and both format checks
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code proto
	$(BIN)/ruff check
	$(BIN)/ruff format --check

imports: setup-dev  ## Check that each room imports only rooms below it, without cycles
	$(BIN)/lint-imports pyproject.toml --no-logo --cache-dir build/imports

types: setup-dev  ## Run mypy, strict
	$(BIN)/mypy

validate: setup-dev  ## Validate the rendered Envoy configuration with Envoy
	$(BIN)/imagegateway validate

# Cost.estimated has explicit presence since 0.2, so that JSON shows `false`, too. The wire format is the same. So is
# that of PartialImage, which was named Preview in the last release.
breaking: $(STAGED)/.staged  ## Compare proto/ with the last release by buf breaking
	$(BIN)/buf build proto --exclude-source-info -o $(PRESENT)
	$(BIN)/buf breaking $(PRESENT) --against $(RELEASED) --path imagegateway/v1 --path imagegateway/admin \
		--config '{"version": "v2", "breaking": {"use": ["FILE"], "ignore_only": {"FIELD_SAME_CARDINALITY": ["imagegateway/v1/job.proto"]}}}'
	$(BIN)/buf breaking $(PRESENT) --against $(RELEASED) --path imagegateway/job --path imagegateway/provider \
		--config '{"version": "v2", "breaking": {"use": ["WIRE"], "ignore_only": {"FIELD_WIRE_COMPATIBLE_TYPE": ["imagegateway/job/v1/job_record.proto", "imagegateway/provider/v1/provider_service.proto"]}}}'

news: $(VENV)/.dev  ## Show the changes since the last release; fail on an invalid fragment
	@$(BIN)/towncrier build --draft --version Unreleased

words: $(VENV)/.dev  ## List phrases that break the language rule, with replacements
	@$(BIN)/python -m tools.words

# Cached bytecode saves each worker of the tests 8 s of compiling them.
unexport PYTHONDONTWRITEBYTECODE
# Most tests wait for other processes: two workers for each core and one more. A file stays with one worker, and its stack
# with it.
WORKERS ?= $(shell echo $$((2 * $$(nproc) + 1)))
PARALLEL = --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

test: setup-dev  ## Run every test against the real Envoy, NATS and S3
	$(BIN)/pytest $(PARALLEL) --durations=15

# Tests that start no process are bound by the CPU: more workers than cores only repeat the collection. Hypothesis tries
# a fifth of the examples. No test of tests/gateway is without the marker, and their collection takes 2 s of each worker.
test-fast: WORKERS = $(shell nproc)
test-fast: setup-dev  ## Run the tests that start no server and no other process
	$(BIN)/pytest $(PARALLEL) --durations=15 --hypothesis-profile=quick -m 'not processes' --ignore=tests/gateway

coverage: setup-dev  ## Run every test; show the lines and branches that none runs, and a table of the rooms
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=term-missing:skip-covered --cov-report=json:build/covered.json; status=$$?; \
		$(BIN)/python -m tools.coverage_table build/covered.json && exit $$status

test-fleet: setup-dev  ## Test parts on several hosts, by TCP with mutual TLS
	$(BIN)/pytest --override-ini addopts='--strict-markers --strict-config -q' --durations=10 tests/fleet

test-emulators: setup-dev  ## Test the emulators with the vendors' own SDKs
	@$(PYTHON) -m venv build/sdks
	build/sdks/bin/pip install --quiet --disable-pip-version-check -r tests/emulators/sdk/requirements.txt
	LITELLM_LOCAL_MODEL_COST_MAP=True PYTHONPATH=.:services PATH=$(CURDIR)/$(BIN):$$PATH $(SDKS) -m 'not genai1 and not genai2' tests/emulators/sdk
	build/sdks/bin/pip install --quiet --disable-pip-version-check --target build/sdks-genai2 --upgrade google-genai==2.34.0
	PYTHONPATH=build/sdks-genai2:. $(SDKS) -m genai2 tests/emulators/sdk/test_google.py
	build/sdks/bin/pip install --quiet --disable-pip-version-check --target build/sdks-genai1 --upgrade google-genai==1.60.0
	PYTHONPATH=build/sdks-genai1:. $(SDKS) -m genai1 tests/emulators/sdk/test_google.py

$(CLIENTS)/.installed: tests/clients/requirements.lock tests/clients/openai_suite/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/clients/requirements.lock
	@rm -rf build/openai-sdist
	$(CLIENTS)/bin/pip download --quiet --disable-pip-version-check --require-hashes --no-deps --no-binary openai \
		--dest build/openai-sdist -r tests/clients/openai_suite/requirements.txt
	@touch $@

build/nginx/.unpacked:
	@mkdir -p build/nginx
	command -v /usr/sbin/nginx || { apt-get update --quiet --quiet && cd build/nginx \
		&& apt-get download --quiet --quiet nginx && dpkg-deb --extract nginx_*.deb .; }
	@touch $@

test-clients: setup-dev $(CLIENTS)/.installed build/nginx/.unpacked  ## Test the gateway with real clients, and completion in real shells
	@command -v zsh > /dev/null && command -v fish > /dev/null || { apt-get update --quiet --quiet \
		&& apt-get install --quiet --quiet --yes --no-install-recommends zsh fish; }
	$(BIN)/pytest --override-ini addopts='--strict-markers --strict-config -q' tests/clients

build/prometheus/.unpacked:
	@mkdir -p build/prometheus
	command -v promtool || { apt-get update --quiet --quiet && cd build/prometheus \
		&& apt-get download --quiet --quiet prometheus && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb; }
	@touch $@

test-monitoring: setup-dev build/prometheus/.unpacked  ## Test the alert rules and the dashboard by Debian's promtool
	$(BIN)/pytest --override-ini addopts='--strict-markers --strict-config -q' tests/monitoring

build/api/.installed: tests/api/requirements.lock
	$(PYTHON) -m venv build/api
	build/api/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/api/requirements.lock
	@touch $@

test-docs: setup-dev $(CLIENTS)/.installed dist  ## Run the code blocks of the guides as a reader does
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/imagegateway_client-*.whl
	cd tests/clients/node && $(CURDIR)/$(BIN)/npm ci --ignore-scripts --silent
	$(BIN)/pytest --override-ini addopts='--strict-markers --strict-config -q' tests/docs

# Redoc shows the API description at /docs.
REDOC := 2.5.4

redoc: $(VENV)/.dev  ## Update Redoc, which shows the API description at /docs
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m tools.redoc $(REDOC)

API_NODE := tests/api/node/node_modules/.installed

$(API_NODE): tests/api/node/package-lock.json $(VENV)/.dev
	cd tests/api/node && PATH=$(CURDIR)/$(BIN):$$PATH npm ci --silent --ignore-scripts
	@touch $@

test-api: setup-dev build/api/.installed $(API_NODE)  ## Test the API description: validators, types, examples, Schemathesis
	$(BIN)/pytest --override-ini addopts='--strict-markers --strict-config -q' tests/api

build/page-types/.installed: tests/page/types/package.json tests/page/types/package-lock.json | $(VENV)/.dev
	@rm -rf build/page-types && mkdir -p build/page-types
	@cp tests/page/types/package*.json build/page-types/
	PATH=$(CURDIR)/$(BIN):$$PATH npm ci --silent --prefix build/page-types
	@touch $@

test-page: setup-dev build/page-types/.installed  ## Test the web page in Debian's Chromium, and the types of its modules
	@command -v chromium > /dev/null || { apt-get update --quiet --quiet && apt-get install --quiet --quiet --yes chromium; }
	$(BIN)/node build/page-types/node_modules/typescript/bin/tsc --project tests/page/types/tsconfig.json
	$(BIN)/pytest --override-ini addopts='--strict-markers --strict-config -q' tests/page

build/docs/.installed: requirements-docs.lock
	$(PYTHON) -m venv build/docs
	build/docs/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@

docs: build/docs/.installed  ## Build the documentation site into build/site; fail on a broken link
	@rm -rf build/site  # pages that are gone stay otherwise
	build/docs/bin/zensical build --strict

dist: setup $(STAGED)/.staged  ## Build the wheels of gateway and client, a source distribution, and the protos
	@rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	cd packaging/client && $(CURDIR)/$(BIN)/python -m hatchling build -t wheel -d $(CURDIR)/dist
	$(BIN)/python -m tools.proto_bundle dist

test-dist: setup-dev dist  ## Install the wheels in new environments, make a first image, call it with the client
	@grep -oE '^[^ ;]+==[^ ;]+' requirements.lock > build/constraints.txt
	@rm -rf build/gateway build/client
	$(PYTHON) -m venv build/gateway
	build/gateway/bin/pip install --quiet --disable-pip-version-check -c build/constraints.txt dist/imagegateway-*.whl
	$(PYTHON) -m venv build/client
	build/client/bin/pip install --quiet --disable-pip-version-check -c build/constraints.txt dist/imagegateway_client-*.whl
	$(BIN)/pytest --override-ini addopts='--strict-markers --strict-config -q' tests/dist

build/deploy/.installed: tests/deploy/requirements.lock tests/deploy/node/package-lock.json $(VENV)/.dev
	@rm -rf build/deploy
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --target build/deploy -r tests/deploy/requirements.lock
	cd tests/deploy/node && PATH=$(CURDIR)/$(BIN):$$PATH npm ci --silent --ignore-scripts
	@touch $@

test-deploy: setup-dev build/deploy/.installed  ## Render and lint deploy/: Helm chart, Containerfile, compose file, systemd units
	@command -v systemd-analyze > /dev/null || { apt-get update --quiet --quiet && apt-get install --quiet --quiet --yes systemd; }
	PYTHONPATH=build/deploy $(BIN)/pytest --override-ini addopts='--strict-markers --strict-config -q' tests/deploy

# deploy/README.md says how to find the digest of the base image.
ENGINE ?= podman
IMAGE ?= localhost/imagegateway
PLATFORMS ?= linux/amd64

image: dist  ## Build the container image: BASE=name@sha256:…, ENGINE=podman or docker, IMAGE=name, PLATFORMS=linux/amd64,linux/arm64
	@case '$(BASE)' in *@sha256:*) ;; *) echo 'set BASE=name@sha256:… (deploy/README.md)'; exit 1;; esac
	$(ENGINE) build --file deploy/container/Containerfile --platform $(PLATFORMS) --tag $(IMAGE) \
		--build-arg BASE=$(BASE) --build-arg REVISION=$$(git rev-parse HEAD) \
		--build-arg VERSION=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("imagegateway"))') .

bench-smoke: setup-dev  ## Prove that the benchmark runs, in a minute; its figures mean nothing
	$(BIN)/python -m bench --smoke

bench: setup-dev  ## Measure the gateway beside other gateways; print ratios of one run
	$(BIN)/python -m bench --peers build/peers

build/audit/.installed: requirements-audit.lock
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.lock
	@touch $@

audit: build/audit/.installed  ## Check the locked packages for known vulnerabilities; needs the package index
	for lock in requirements.lock requirements-dev.lock requirements-mutants.lock requirements-docs.lock tests/api/requirements.lock tests/clients/requirements.lock; do \
		build/audit/bin/pip-audit --strict --disable-pip --requirement $$lock || exit 1; \
	done

build/mutants/.installed: requirements-mutants.lock
	$(PYTHON) -m venv build/mutants
	build/mutants/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutants.lock
	@touch $@

# Changes tried in each room, or `all`, which takes hours, and the choice of them.
MUTANTS ?= 100
SEED ?= 0

mutants: setup-dev build/mutants/.installed  ## Change the code at random places, show what no test notices; 20 minutes at most
	$(BIN)/python -m tools.mutants build/mutants/bin/cosmic-ray $(MUTANTS) $(SEED) $(WORKERS)

# A router and a provider server need these rooms.
released: $(STAGED)/.staged  ## Record proto/ and the code at HEAD as the last release, for `make breaking` and the tests
	$(BIN)/buf build proto --exclude-source-info -o $(RELEASED)
	git archive HEAD services/imagegateway generated \
		':(exclude)services/imagegateway/cli' ':(exclude)services/imagegateway/stack' ':(exclude)*.pyi' | xz -9 > $(RELEASED_CODE)

clean:  ## Remove the products of all targets, but no data
	rm -rf $(VENV) build .cache .mypy_cache .ruff_cache .pytest_cache
