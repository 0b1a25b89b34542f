# `make` alone lists the targets.

CARGO ?= cargo
# How many processes a graded test may have, as in a job of Autolab that nobody has configured. Threads count as processes.
PROCESSES ?= 100

.PHONY: help help-students fetch lab2 lab3a lab3b sim sim-races hunt test check doc handin grade logview

help: help-students

help-students:
	@echo "make fetch    downloads all crates that the other targets need, for work without a network"
	@echo "make lab3a    Lab 3A's fifteen tests (key/value service): about 4 minutes"
	@echo "make lab3b    Lab 3B's eight tests (the same with log compaction): about 2.5 minutes"
	@echo "make lab2     Lab 2's seventeen tests (Raft): about 2.5 minutes"
	@echo "make sim      simulates the tests, the extra ones too; a failure prints a seed that replays it: about ten seconds; LAB=2, 3A or 3B: of this lab alone"
	@echo "make sim-races  the same, but threads can lose the processor anywhere: finds short races"
	@echo "make hunt     many short simulations with faults of every kind, for SECONDS=60; LAB=2, 3A or 3B: of this lab alone"
	@echo "make test     every test of the workspace: about 11 minutes"
	@echo "make check    formatting, lints, and the rules for hand-ins; runs no test"
	@echo "make doc      the API's documentation, in target/doc"
	@echo "make handin   packs the files that you hand in into lab3-handin.tar; LAB=2: raft.rs alone, into lab2-handin.tar"
	@echo "make logview LOG=target/pictures/TEST.log   shows a log in columns, one for each server; without LOG= reads a pipe"
	@echo "make grade HANDIN=lab3-handin.tar   grades a hand-in of 3A as Autolab does: about 5 minutes; LAB=2, 2A, 2B, 2C, 3B or both"
	@echo
	@echo "One test, with what the servers print (dprintf!):"
	@echo "  RUST_LOG=debug cargo test -p kvraft test_basic_3a"

fetch:
	$(CARGO) fetch

lab3a:
	$(CARGO) test -p kvraft --test test_test 3a

lab3b:
	$(CARGO) test -p kvraft --test test_test 3b

lab2:
	$(CARGO) test -p raft --test test_test _2

# The tests read variables from the environment: LAB_RUNS=300 make sim. If Lab 3's tests fail, Lab 2's run all the same.
TESTS_2 = -p raft --test test_test
TESTS_3A = -p kvraft --test test_test 3a
TESTS_3B = -p kvraft --test test_test 3b
TESTS_ = -p raft -p kvraft --test test_test --no-fail-fast
TESTS_OF_LAB = $(TESTS_$(subst a,A,$(subst b,B,$(LAB))))
KNOWS_LAB = [ -n "$(TESTS_OF_LAB)" ] || { echo "make $@: LAB=$(LAB): it must be 2, 3A or 3B; without LAB, both labs" >&2; exit 2; }
SIMULATE = LAB_SIM=1 $(CARGO) test $(TESTS_OF_LAB)

sim:
	@$(KNOWS_LAB)
	$(SIMULATE)

# This build differs from the usual one, and goes to a directory of its own.
sim-races:
	@$(KNOWS_LAB)
	@tools/sim/rustc-races --check
	RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/tools/sim/rustc-races" CARGO_TARGET_DIR="$(CURDIR)/target/races" $(SIMULATE)

# LAB=2, 3A or 3B; SECONDS=60; LAB_SEED= and SCENARIO= replay one run.
hunt:
	@CARGO="$(CARGO)" tools/hunt/run "$(LAB)" "$(SECONDS)" "$(LAB_SEED)" "$(SCENARIO)"

test:
	$(CARGO) test --workspace --no-fail-fast

check:
	$(CARGO) fmt --all --check || { echo "make check: cargo fmt --all makes these changes" >&2; exit 1; }
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --package raft --package kvraft --test hunt -- -D warnings
	@$(CARGO) run --quiet --package rules -- $$(cat tools/handin/files)
	@echo "make check: no complaints"

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	@echo "Begin at target/doc/labrpc/index.html, which links to the other crates."

handin:
	@CARGO="$(CARGO)" PROCESSES="$(PROCESSES)" tools/handin/pack "$(LAB)"

logview:
	@$(CARGO) run --quiet --package logview -- $(if $(LOG),"$(LOG)")

grade:
	@[ -n "$(HANDIN)" ] || { echo "make grade: name the hand-in: make grade HANDIN=lab3-handin.tar (make handin packs it)" >&2; exit 2; }
	@$(CARGO) run --quiet --package grade --bin grade -- handin "$(HANDIN)" --cache target/grade-cache --processes $(PROCESSES) \
	    $(if $(LAB),--part "$(LAB)")

# The targets for instructors. A student's copy has no course/.
-include course/course.mk
