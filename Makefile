# SPDX-License-Identifier: Apache-2.0
# The newcomer's door: installs what is missing and calls meson, which does the work (CONTRIBUTING.md).
# YES=1 installs without asking.
.DEFAULT_GOAL := build
SHELL := /bin/bash
export YES

.PHONY: build run test test-long bench format lint man clean demo-gateway demo-workflow demo-incident help

build: ## build/hardy and build/libhardy.so
	@tools/packages.sh build
	@tools/build.sh build -Dtests=false

run: ## builds and shows hardy at work: an agent's provider fails, a workflow is killed, a service breaks
	@tools/packages.sh build run
	@tools/build.sh build -Dtests=false
	@tools/demo.sh

demo-gateway demo-workflow demo-incident: ## one part of it
	@tools/packages.sh build run
	@tools/build.sh build -Dtests=false
	@tools/demo.sh $(@:demo-%=%)

test: ## builds with both compilers and the sanitizers, and runs every test (twelve to fifteen minutes)
	@tools/packages.sh build run test
	@tools/test.sh

test-long: ## the long proofs
	@tools/packages.sh build run test
	@tools/test.sh long

bench: ## measurements
	@tools/packages.sh build run bench
	@tools/build.sh build -Dtests=false
	@meson test -C build --benchmark --verbose --num-processes 1

format: ## lays the C files out
	@tools/packages.sh format
	@find . -name .git -prune -o -type d -name 'build*' -prune -o -name '*.[ch]' -print0 | xargs -0 clang-format -i

lint: ## the rules a compiler does not know
	@tools/packages.sh format
	@tools/lint.sh

man: ## writes man/ anew, from the tables of the program and from the public headers
	@tools/packages.sh build
	@tools/build.sh build -Dtests=false
	@build/hardy __man >man/hardy.1
	@build/hardy __man hardy.yaml >man/hardy.yaml.5
	@build/hardy __man hardy-workflow >man/hardy-workflow.5
	@tools/man3.py write

clean: ## removes what was built
	@rm -rf build build-gcc build-clang build-asan build-tsan

help: ## this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile
