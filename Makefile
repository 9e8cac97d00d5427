# SPDX-License-Identifier: Apache-2.0
# Thin names for the commands that CMake, CTest and scripts/ run; `make help` lists them.
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 30
SOAK_SECONDS ?= 600
PYTHON ?= python3
SOAK_CLIENTS ?= 1000
MODEL ?= models/storyteller
THREADED = base device runtime executor server
export CMAKE_BUILD_PARALLEL_LEVEL = $(JOBS)
export FUZZ_SECONDS

tokamak: ## build build/release/bin/tokamak
	scripts/build.sh release tokamak

demo: deps tokamak ## install, build, and stream a story from the model that ships
	build/release/bin/tokamak run $(MODEL) --prompt "Once upon a time" --max-tokens 120

test: deps ## install, build and run every test and the layer check
	scripts/build.sh release
	scripts/run_tests.sh release

bench: deps ## build and run the micro-benchmarks, one line each
	scripts/build.sh bench
	scripts/run_benches.sh build/bench/bin

fmt: deps-lint ## clang-format every source in place
	scripts/lint.sh fix

lint: deps-lint ## clang-format, layers, and clang-tidy on what differs from origin/main (LINT=all: on everything)
	scripts/build.sh lint --configure-only
	scripts/lint.sh $(or $(LINT),changed)

asan: deps-sanitizers ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	scripts/build.sh asan-ubsan
	scripts/run_tests.sh asan-ubsan

tsan: deps ## the tests of the modules with threads under ThreadSanitizer
	scripts/build.sh tsan $(THREADED:=_test)
	scripts/run_tests.sh tsan --tests-regex '^($(subst $() ,|,$(THREADED)))$$'

fuzz: deps-sanitizers ## every fuzz target for FUZZ_SECONDS (30) on its corpus
	scripts/fuzz.sh

soak: deps tokamak ## many clients at once for SOAK_SECONDS (600): no error, no leak, no growth
	python3 tests/soak/soak.py --seconds $(SOAK_SECONDS) --clients $(SOAK_CLIENTS)

foreign: foreign-sources tokamak ## llama.cpp's and vLLM's server tests, from LLAMA_CPP_SOURCE and VLLM_SOURCE (tests/foreign/README.md)
	$(PYTHON) tests/foreign/run.py
foreign-sources:
	@$(PYTHON) tests/foreign/run.py --check

dist: deps tokamak ## dist/tokamak-<version>-linux-x86_64.tar.gz, which runs without our packages
	scripts/dist.sh

deps: ## install what the build needs (Debian 12)
	@scripts/install_deps.sh build
deps-lint:
	@scripts/install_deps.sh build lint
deps-sanitizers:
	@scripts/install_deps.sh build sanitizers

clean: ## remove build/ and dist/
	rm -rf build dist

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

.DEFAULT_GOAL := tokamak
.PHONY: tokamak demo test bench fmt lint asan tsan fuzz soak foreign foreign-sources dist deps deps-lint deps-sanitizers clean help
