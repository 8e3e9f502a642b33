# What people do here, each as one word. The work is in scripts/ and packaging/; this only names it.

.DEFAULT_GOAL := help
.PHONY: help run test chaos fuzz sim vm vm-long build lint doc bench

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ## install what is needed, build, start a system on this machine, run a sample task (ONCE=1: then stop)
	packaging/install-dependencies run
	scripts/as-user cargo build --locked --release --bins
	scripts/run

test: ## install what tests need, then run every test (root, or sudo)
	packaging/install-dependencies test
	scripts/test

chaos: ## kill everything at random under real tasks: RUNS=100, or MINUTES=60; SEED=1 (root, or sudo)
	packaging/install-dependencies test
	RUNS='$(RUNS)' MINUTES='$(MINUTES)' SEED='$(SEED)' scripts/chaos

fuzz: ## decoders fed with broken input: TARGET=reference, SECONDS=60 for each, SEED=1
	TARGET='$(TARGET)' SECONDS_EACH='$(SECONDS)' SEED='$(SEED)' scripts/fuzz

vm: ## the tests in virtual machines: systemd, cgroup v2, a power cut, 1970 (root, or sudo)
	packaging/install-dependencies test
	scripts/vm

vm-long: ## all of them: every black-box test inside, twenty power cuts, bad disks, wrong clocks, crun: three hours
	packaging/install-dependencies test
	scripts/vm --run-ignored all

build: ## build everything for debugging
	cargo build --locked --workspace --all-targets

lint: ## format, clippy, docs, licences, scripts, generated code
	packaging/install-dependencies test
	scripts/as-user scripts/lint

doc: ## the documentation of the code, in target/doc
	cargo doc --locked --workspace --no-deps --document-private-items

bench: ## measure against the budgets (root, or sudo)
	packaging/install-dependencies test
	scripts/bench

sim: ## agent and control plane simulated: RUNS=… lives many, SEED=… OF=agent or control-plane replays one
	$(if $(SEED),LONGSHORE_SIM_SEED=$(SEED)) $(if $(RUNS),LONGSHORE_SIM_RUNS=$(RUNS)) \
		scripts/sim $(OF)
