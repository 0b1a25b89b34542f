# Targets for instructors and maintainers. Students do not get this folder.

help: help-course
help-course: help-students
	@echo
	@echo "For instructors and maintainers:"
	@echo "make lab3.tar       packs the workspace with the starter, for students; lab2.tar: the same, to begin with Lab 2"
	@echo "make assessment     makes lab3-assessment.tar, which you import into Autolab (course/docs/instructor.md); LAB=2: of Lab 2"
	@echo "make gradescope     makes lab3-gradescope.zip, which you upload to Gradescope (course/docs/instructor.md); LAB=2: of Lab 2"
	@echo "make gradescope-check  runs the scripts of this zip as Gradescope does"
	@echo "make starter-check  unpacks and lints the starter, and runs tests on it; each must fail, soon and with a message"
	@echo "make handin-check   tests \"make handin\""
	@echo "make page-check     tests, in a browser, the page that a failed test leaves (needs chromium)"
	@echo "make systems-check  lints what students get for macOS, Linux on aarch64 and Linux with musl; runs nothing"
	@echo "make arm-check      runs the simulator on aarch64 in an emulator (needs gcc-aarch64-linux-gnu and qemu-user-binfmt): about 8 minutes"
	@echo "make e2e            hands the reference solution in, and grades it in a job like Autolab's: about 8 minutes"
	@echo "make gallery        grades hand-ins of every kind, and checks the score of each: about 20 minutes"
	@echo "make mutants        breaks the reference solution in many ways, and shows which test, or the hunt, notices each"
	@echo "make right          runs all tests on right solutions of other styles: about 8 minutes"
	@echo "make memory         measures how much memory the key/value service uses, and draws course/docs/memory.svg"
	@echo "make bench          measures RPCs, labgob, Raft's agreement, the service's operations and the simulator's switch"
	@echo "make bench-porcupine PORCUPINE=DIR   compares the linearizability checker with porcupine (Go), whose source is in DIR: about 10 minutes"
	@echo "make compare GO_LAB=path   compares a Go lab's tests of 3A with ours; PART=2A, 2B, 2C or 3B: of another part; PART=rpc or ops: other workloads"

.PHONY: help-course lab2.tar lab3.tar starter-check systems-check arm-check handin-check page-check assessment gradescope gradescope-check e2e gallery memory mutants right bench-porcupine compare bench

# LAB=2: what is made is for Lab 2.
NUMBER = $(or $(LAB),3)
PART_2 = $(if $(filter 2,$(LAB)),--part 2)
IS_LAB = [ -z "$(filter-out 2 3,$(LAB))" ] || { echo "LAB=$(LAB): it must be 2 or 3; a part: ASSESSMENT=\"--part 3B\"" >&2; exit 2; }

lab2.tar lab3.tar:
	course/starter/pack $@

starter-check:
	course/starter/check

handin-check:
	course/handin/check

systems-check:
	CARGO="$(CARGO)" course/systems/check

arm-check:
	course/arm/check

page-check:
	$(CARGO) test --package page --test page -- --ignored --nocapture

assessment:
	@$(IS_LAB)
	course/starter/pack lab$(NUMBER).tar
	$(CARGO) run --quiet --package autolab --bin assessment -- lab$(NUMBER)-assessment.tar --handout lab$(NUMBER).tar $(PART_2) \
	    $(ASSESSMENT)

gradescope:
	@$(IS_LAB)
	$(CARGO) run --quiet --package autolab --bin assessment -- lab$(NUMBER)-gradescope.zip --gradescope $(PART_2) $(GRADESCOPE)

gradescope-check:
	course/tools/autolab/gradescope/check

e2e:
	course/tools/autolab/e2e

gallery:
	course/gallery/run

memory:
	$(CARGO) run --release --package bench --example memory -- course/docs/memory.svg

mutants:
	course/mutants/run

right:
	course/right/run

bench-porcupine:
	@course/tools/checker/run "$(PORCUPINE)"

PART ?= 3A
compare:
	@[ -n "$(GO_LAB)" ] || { echo "make compare GO_LAB=path: path is the folder of the Go lab, which has src"; exit 1; }
	@$(CARGO) run --quiet --package compare -- "$(GO_LAB)" --part "$(PART)" $(COMPARE)

bench:
	$(CARGO) bench --package bench
