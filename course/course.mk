# What instructors and maintainers have besides; students do not get this folder.

help: help-course
help-course: help-students
	@echo
	@echo "make lab3.tar       what is handed out to students: the workspace with the starter"
	@echo "make starter-check  lints the starter, and runs titles on it, which must fail"
	@echo "make handin-check   tests make handin"
	@echo "make page-check     uses the page of a failed title in a browser, which must be there (chromium)"
	@echo "make assessment     what an instructor imports into Autolab, lab3-assessment.tar"
	@echo "make e2e            hands the reference solution in, and grades it as Autolab does: about 8 minutes"
	@echo "make gallery        grades hand-ins of every kind, and checks what each gets: about 20 minutes"
	@echo "make memory         measures and draws how much memory a service takes, course/docs/memory.svg"
	@echo "make bench-porcupine PORCUPINE=DIR   the linearizability checker beside porcupine's: about 10 minutes"
	@echo "make compare GO_LAB=path   runs a Go lab's titles and ours, and prints one table; PART=2B, 3B, rpc or ops: others"
	@echo "make bench          measures RPCs, labgob, agreement and operations"
	@echo "make mutants        breaks the reference solution on purpose, and shows which title notices"

.PHONY: help-course lab3.tar starter-check handin-check page-check assessment e2e gallery memory mutants bench-porcupine compare bench

lab3.tar:
	course/starter/pack lab3.tar

starter-check:
	course/starter/check

handin-check:
	course/handin/check

page-check:
	$(CARGO) test --package page --test page -- --ignored --nocapture

assessment:
	$(CARGO) run --quiet --package autolab --bin assessment -- lab3-assessment.tar $(ASSESSMENT)

e2e:
	course/tools/autolab/e2e

gallery:
	course/gallery/run

memory:
	$(CARGO) run --release --package bench --example memory -- course/docs/memory.svg

mutants:
	course/mutants/run

bench-porcupine:
	@course/tools/checker/run "$(PORCUPINE)"

PART ?= 3A
compare:
	@[ -n "$(GO_LAB)" ] || { echo "make compare GO_LAB=path: say where the Go lab is, the folder that has src"; exit 1; }
	@$(CARGO) run --quiet --package compare -- "$(GO_LAB)" --part "$(PART)" $(COMPARE)

bench:
	$(CARGO) bench --package bench
