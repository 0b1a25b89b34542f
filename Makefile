# `make` alone lists the targets.

CARGO ?= cargo

.PHONY: help lab2 lab3a test check doc mutants

help:
	@echo "make lab3a    Lab 3A's fifteen tests (key/value service): about 4 minutes"
	@echo "make lab2     Lab 2's seventeen tests (Raft): about 2.5 minutes"
	@echo "make test     every test of the workspace: about 8 minutes"
	@echo "make check    formatting and lints; no test"
	@echo "make doc      the API's documentation, in target/doc"
	@echo "make mutants  breaks the reference solution on purpose, and shows which title notices"
	@echo
	@echo "One test, with what the servers print (dprintf!):"
	@echo "  RUST_LOG=debug cargo test -p kvraft test_basic_3a"

lab3a:
	$(CARGO) test -p kvraft --test test_test 3a

lab2:
	$(CARGO) test -p raft --test test_test _2

test:
	$(CARGO) test --workspace --no-fail-fast

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

mutants:
	tools/mutants/run
