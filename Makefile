# `make` alone lists the targets.

CARGO ?= cargo

.PHONY: help lab2 lab3a lab3b sim sim-races test check doc handin grade logview

help:
	@echo "make lab3a    Lab 3A's fifteen tests (key/value service): about 4 minutes"
	@echo "make lab3b    Lab 3B's eight tests (the same with log compaction): about 2.5 minutes"
	@echo "make lab2     Lab 2's seventeen tests (Raft): about 2.5 minutes"
	@echo "make sim      all of these in simulation, with a seed that replays a failure: about half a minute"
	@echo "make sim-races  the same, where threads can lose the processor anywhere: finds short races"
	@echo "make test     every test of the workspace: about 11 minutes"
	@echo "make check    formatting and lints; no test"
	@echo "make doc      the API's documentation, in target/doc"
	@echo "make handin   packs what you hand in, lab3-handin.tar"
	@echo "make logview LOG=target/pictures/TITLE.log   a log in columns, one for each server; without LOG= from a pipe"
	@echo "make grade HANDIN=lab3-handin.tar   grades it as Autolab does: about 5 minutes"
# cut from the starter: begin
	@echo
	@echo "make lab3.tar       what is handed out to students: the workspace with the starter"
	@echo "make starter-check  lints the starter, and runs titles on it, which must fail"
	@echo "make handin-check   tests make handin"
	@echo "make page-check     uses the page of a failed title in a browser, which must be there (chromium)"
	@echo "make assessment     what an instructor imports into Autolab, lab3-assessment.tar"
	@echo "make e2e            hands the reference solution in, and grades it as Autolab does: about 8 minutes"
	@echo "make gallery        grades hand-ins of every kind, and checks what each gets: about 20 minutes"
	@echo "make memory         measures and draws how much memory a service takes, docs/memory.svg"
	@echo "make bench-porcupine PORCUPINE=DIR   the linearizability checker beside porcupine's: about 10 minutes"
	@echo "make compare GO_LAB=path   runs a Go lab's titles and ours, and prints one table; PART=2B, 3B, rpc or ops: others"
	@echo "make bench          measures RPCs, labgob, agreement and operations"
	@echo "make mutants        breaks the reference solution on purpose, and shows which title notices"
# cut from the starter: end
	@echo
	@echo "One test, with what the servers print (dprintf!):"
	@echo "  RUST_LOG=debug cargo test -p kvraft test_basic_3a"

lab3a:
	$(CARGO) test -p kvraft --test test_test 3a

lab3b:
	$(CARGO) test -p kvraft --test test_test 3b

lab2:
	$(CARGO) test -p raft --test test_test _2

# The environment goes on to the tests: LAB_RUNS=300 make sim.
SIMULATE = LAB_SIM=1 $(CARGO) test -p raft -p kvraft --test test_test

sim:
	$(SIMULATE)

# Built otherwise, so in a directory of its own.
sim-races:
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/tools/sim/rustc-races CARGO_TARGET_DIR=$(CURDIR)/target/races $(SIMULATE)

test:
	$(CARGO) test --workspace --no-fail-fast

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

handin:
	@CARGO="$(CARGO)" tools/handin/pack

logview:
	@$(CARGO) run --quiet --package logview -- $(LOG)

grade:
	$(CARGO) run --quiet --package grade --bin grade -- handin "$(HANDIN)" --cache target/grade-cache
# cut from the starter: begin

.PHONY: lab3.tar starter-check handin-check page-check assessment e2e gallery memory mutants bench-porcupine compare bench

lab3.tar:
	tools/starter/pack lab3.tar

starter-check:
	tools/starter/check

handin-check:
	tools/handin/check

page-check:
	$(CARGO) test --package titles --test page -- --ignored --nocapture

assessment:
	$(CARGO) run --quiet --package grade --bin grade -- assessment lab3-assessment.tar $(ASSESSMENT)

e2e:
	tools/grade/e2e

gallery:
	tools/gallery/run

memory:
	$(CARGO) run --release --package bench --example memory -- docs/memory.svg

mutants:
	tools/mutants/run

bench-porcupine:
	@tools/porcupine/compare "$(PORCUPINE)"

PART ?= 3A
compare:
	@[ -n "$(GO_LAB)" ] || { echo "make compare GO_LAB=path: say where the Go lab is, the folder that has src"; exit 1; }
	@$(CARGO) run --quiet --package compare -- "$(GO_LAB)" --part "$(PART)" $(COMPARE)

bench:
	$(CARGO) bench --package bench
# cut from the starter: end
