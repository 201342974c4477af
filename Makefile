# The front door. `make` alone prints what there is; every target does its own set-up.

PRESET ?= release
JOBS ?= $(shell nproc)
BUILD := build/$(PRESET)

.DEFAULT_GOAL := help
.PHONY: help setup build demo test sanitize interop bench fuzz lint format clean

help:  ## This list
	@echo "Signet: SPIFFE certificate authority, node agent and mTLS proxy. Targets:"
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Install the Debian packages the build needs (sudo when not root); nothing the second time
	@tools/setup.sh build

build: setup  ## Build everything into build/release/bin
	@mkdir -p build
	@cmake --preset $(PRESET) > build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build $(BUILD) -j$(JOBS)

demo: setup  ## The main job in front of your eyes, on loopback, cleaned up afterwards
	@tools/setup.sh demo
	@$(MAKE) --no-print-directory programs
	@tools/demo/demo.sh $(BUILD)/bin

.PHONY: programs
programs:
	@mkdir -p build
	@cmake --preset $(PRESET) > build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build $(BUILD) -j$(JOBS) --target signet signet-server signet-agent signet-proxy

test: build  ## Build and run the test suite
	@ctest --test-dir $(BUILD) --output-on-failure -j$(JOBS) --timeout 600

sanitize: setup  ## The test suite under address, undefined-behaviour and thread sanitizers (slow)
	@for preset in asan-ubsan tsan; do \
	  $(MAKE) --no-print-directory test PRESET=$$preset || exit 1; done

interop: setup  ## Against software that is not ours: SPIRE, go-spiffe, py-spiffe, Envoy (needs Go)
	@tools/setup.sh interop
	@$(MAKE) --no-print-directory programs
	@tests/interop/build.sh
	@SIGNET_BIN=$(CURDIR)/$(BUILD)/bin tests/interop/run.sh

bench: build  ## Load generators, ours beside its peers in one run
	@tools/bench/run.sh $(BUILD)/bin

fuzz: setup  ## Each fuzz target for FUZZ_SECONDS (default 30)
	@tools/setup.sh fuzz
	@tools/fuzz.sh

lint: setup  ## Format, clang-tidy and layer checks
	@tools/setup.sh lint
	@tools/lint/lint.sh

format:  ## Rewrite the sources in the house format
	@git ls-files '*.cc' '*.h' | xargs clang-format-19 -i

clean:  ## Remove what was built
	@rm -rf build
