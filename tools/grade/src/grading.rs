//! One grading, from the archive to the scores line: read, build, run, simulate, hunt, report.

use crate::archive::{self, Handin};
use crate::busy::Watch;
use crate::compile::{Builder, Built, Programs, Toolchain};
use crate::confine;
use crate::console::{last_word, print, say};
use crate::deadlines;
use crate::folders::Folders;
use crate::foreign;
use crate::gate::{self, Gate};
use crate::hunting::{self, Hunted};
use crate::lab::{Lab, Part, Test};
use crate::outcome::Outcome;
use crate::plan::{Clock, Extra, Plan};
use crate::report;
use crate::run::{self, Ended, Figures, Hunter, Runner, Verdict};
use crate::strays;
use crate::workspace;
use anyhow::{Context, Result, anyhow, bail};
use rules::Violation;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time that is kept at the end for killing, removing and printing.
const FINISH: Duration = Duration::from_secs(10);

/// How long before its deadline the grader prints what it has, whatever hangs.
const LAST_CALL: Duration = Duration::from_secs(4);

/// The shortest time for which it makes sense to start a test.
const TOO_SHORT: Duration = Duration::from_secs(1);

/// How often the integrity gate's test runs in real time at most, unless a run takes long to fail.
const GATE_TRIES: usize = 3;

/// The user that tests run as if the grader is root: it owns nothing.
const NOBODY: u32 = 65534;

/// A grading and what it has found so far.
pub struct Grading {
    outcomes: Mutex<Vec<Outcome>>,
    /// Why no test could be run; None if tests can be run.
    broken: Mutex<Option<String>>,
    /// What the hunt has found; None if there is to be no hunt.
    hunted: Mutex<Option<Hunted>>,
    folders: Folders,
    /// The user that tests run as; None if it is the grader's own, which is then not root.
    user: Option<u32>,
    plan: Plan,
}

impl Grading {
    pub fn new(plan: Plan) -> Result<Grading> {
        let go_tests = plan.part.tests();
        let outcome = |(test, worth): (&'static Test, f64)| Outcome {
            is_gate: plan.extra == Some(Extra::Gate) && !go_tests.iter().any(|go| std::ptr::eq(go, test)),
            ..Outcome::new(test, worth, plan.must_pass, plan.seeds_of(test) as usize)
        };
        let outcomes: Vec<Outcome> = plan.tests().into_iter().map(outcome).collect();
        let folders = Folders::make(plan.work.as_deref())?;
        let user = rustix::process::getuid().is_root().then_some(NOBODY);
        if let (Some(_), Some(closed)) = (user, folders.closed()) {
            bail!(
                "the grader runs as root, so it must run tests as another user, and others cannot enter {}: let them (chmod o+rx), \
                 or choose another work folder with TMPDIR or --work",
                closed.display()
            );
        }
        let hunted = plan.hunt.map(|_| Hunted::NotRun("the time was up".to_string()));
        Ok(Grading {
            outcomes: outcomes.into(),
            broken: None.into(),
            hunted: hunted.into(),
            folders,
            user,
            plan,
        })
    }

    /// Builds what no student wrote, and nothing else: fills the cache.
    pub fn prepare(&self) -> Result<()> {
        self.builder(&Toolchain::find()?)?.build_pristine(self.plan.cache.as_deref(), self.left())
    }

    /// Grades a hand-in, prints the result, and ends this process.
    pub fn grade(self: Arc<Grading>, handin: &Path) -> Result<()> {
        let watched = self.clone();
        std::thread::Builder::new()
            .name("watchdog".to_string())
            .spawn(move || watched.watch())
            .context("cannot start a thread")?;
        match self.run(handin) {
            Ok(()) => self.finish(),
            Err(why) => self.give_up(&why),
        }
    }

    /// An error means that the grader failed, not the hand-in.
    fn run(&self, handin: &Path) -> Result<()> {
        let handin = match archive::read(handin, self.lab()) {
            Ok(handin) => handin,
            Err(why) if why.is_missing() => bail!("there is no hand-in: {why}"),
            Err(why) => {
                self.refuse(&why.advice(self.lab()), 0.0);
                return Ok(());
            }
        };
        for remark in &handin.remarks {
            say(&format!("remark: {}", foreign::one_line(remark)));
        }
        let Programs { tests, hunt } = match self.build(&handin)? {
            Built::Programs(programs) => programs,
            Built::Broken(why) => {
                self.refuse(&why, self.plan.broken_part);
                return Ok(());
            }
        };
        let read = |program: &Path| {
            std::fs::read(program)
                .with_context(|| format!("cannot read the test binary {}", program.display()))
        };
        let binary = read(&tests)?;
        for gap in confine::gaps() {
            say(&format!("remark: the code under test is not fully confined; {gap}"));
        }
        let Plan { memory, processes, .. } = self.plan;
        let runner = Runner { folders: &self.folders, binary: &binary, memory, processes, user: self.user };
        let hunt = hunt.map(|program| read(&program)).transpose()?;
        let hunter = || hunt.as_ref().map(|binary| Hunter::new(Runner { binary, ..runner }, self.lab()));
        if self.plan.gate
            && let Some(hunter) = hunter()
            && !self.pass_gate(&hunter?, &runner)?
        {
            return Ok(());
        }
        self.run_tests(&runner)?;
        self.simulate_tests(&runner)?;
        if let (Some(asked), Some(hunter)) = (self.plan.hunt, hunter()) {
            let hunted = hunter
                .and_then(|hunter| self.hunt(&hunter, asked))
                // The tests' scores count: a hunt that the grader cannot run costs no points.
                .unwrap_or_else(|e| Hunted::NotRun(format!("the grader cannot hunt: {e:#}")));
            *lock(&self.hunted) = Some(hunted);
        }
        Ok(())
    }

    /// Whether the service shows that it is replicated. If it does not, no test is run.
    fn pass_gate(&self, hunter: &Hunter<'_>, runner: &Runner<'_>) -> Result<bool> {
        print("integrity gate ... ");
        match gate::check(hunter, self.plan.first_seed, self.lab(), report::hunted(self.plan.part))? {
            Gate::Passed => say("passed"),
            Gate::Undecided(why) => {
                say("not decided: a run failed for another reason");
                print(&foreign::quoted(&why));
                return self.pass_gate_in_real_time(runner);
            }
            Gate::Failed { why, command } => {
                say("FAILED");
                self.refuse(&report::not_replicated(self.lab(), &why, &command), 0.0);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Decides what the simulated runs have left open, if there is a test that does, and time for it.
    fn pass_gate_in_real_time(&self, runner: &Runner<'_>) -> Result<bool> {
        let unknown = "The tests count, but nothing shows that the servers replace each other";
        let test = gate::test_in_real_time(self.lab()).filter(|_| self.plan.clock == Clock::Real);
        let Some(test) = test else {
            say(unknown);
            return Ok(true);
        };
        let limit = deadlines::LONGEST;
        let later: Duration =
            self.plan.tests().iter().map(|(test, _)| deadlines::reserve(test.seconds)).sum();
        let mut failed = None;
        // As in simulation, one run that passes shows it.
        for _ in 0..GATE_TRIES {
            print("integrity gate, in real time ... ");
            if self.left() < limit + later {
                say("not run, for want of time");
                break;
            }
            let began = Instant::now();
            let ended = with_threads(test, limit, |limit| runner.run_leniently(test.function, limit))?;
            match ended.verdict {
                Verdict::Passed(_) => {
                    say("passed");
                    return Ok(true);
                }
                Verdict::Failed(why) => {
                    say("FAILED");
                    print(&foreign::quoted(&ended.output));
                    failed = Some(why);
                }
            }
            if began.elapsed() > limit / 2 {
                break;
            }
        }
        let Some(why) = failed else {
            say(unknown);
            return Ok(true);
        };
        self.refuse(&report::not_replicated_in_real_time(test.function, &why), 0.0);
        Ok(false)
    }

    fn lab(&self) -> Lab {
        self.plan.part.lab()
    }

    /// No test can be run; each earns this part of its points.
    fn refuse(&self, why: &str, part: f64) {
        say(&foreign::quoted(why));
        for outcome in lock(&self.outcomes).iter_mut() {
            outcome.points = outcome.worth * part;
            outcome.not_run = Some("nothing could be run".to_string());
        }
        *lock(&self.broken) = Some(why.to_string());
        if let Some(hunted) = &mut *lock(&self.hunted) {
            *hunted = Hunted::NotRun("nothing could be run".to_string());
        }
    }

    fn build(&self, handin: &Handin) -> Result<Built> {
        let toolchain = Toolchain::find()?;
        let builder = self.builder(&toolchain)?;
        say("building the lab's own crates");
        let tests = self.plan.tests();
        let needed: Duration = match self.plan.clock {
            Clock::Real => tests.iter().map(|(test, _)| deadlines::reserve(test.seconds)).sum(),
            Clock::Simulated => deadlines::seeds_reserve(self.plan.seeds, tests.len()),
        };
        let limit = self.left().saturating_sub(needed).max(self.left() / 3);
        builder.build_pristine(self.plan.cache.as_deref(), limit)?;
        say(&format!("building the hand-in ({})", self.since_start()));
        workspace::lay_over(handin, &self.folders.workspace())?;
        let built = builder.build_handin(self.plan.build_limit, self.left())?;
        // The compiler has run the student's macros and constants, which may have left processes.
        strays::kill_all();
        Ok(match built {
            Built::Programs(programs) => {
                match handin.violation().or_else(|| self.violation_once_expanded(&builder)) {
                    Some(violation) => Built::Broken(violation.to_string()),
                    None => Built::Programs(programs),
                }
            }
            // The compiler may have complained about a forbidden word. Its message comes first, because it names the line.
            Built::Broken(why) => Built::Broken(match handin.violation() {
                Some(violation) => format!("{}\n{violation}", why.trim_end()),
                None => why,
            }),
        })
    }

    /// The first rule for hand-ins that it breaks once its macros are expanded. What cannot be searched is no fault of the hand-in.
    fn violation_once_expanded(&self, builder: &Builder<'_>) -> Option<Violation> {
        self.lab().files().iter().find_map(|file| {
            let package = file.path.split('/').next().unwrap_or_default();
            let searched = builder.expanded(package).map(|text| rules::check_expanded(file.name, &text));
            match searched {
                Some(Ok(violation)) => violation,
                Some(Err(rules::NotSearched)) | None => {
                    say(&format!(
                        "remark: what the macros in {} expand to was not searched: this compiler does not print it",
                        file.name
                    ));
                    None
                }
            }
        })
    }

    fn builder<'a>(&'a self, toolchain: &'a Toolchain) -> Result<Builder<'a>> {
        workspace::copy_pristine(&self.plan.pristine, &self.folders.workspace())?;
        let vendor = self.plan.pristine.join("vendor").canonicalize().ok();
        Ok(Builder {
            toolchain,
            folders: &self.folders,
            lab: self.lab(),
            vendor,
            simulator: self.plan.simulates(),
            hunts: self.plan.hunts(),
            hunts_long: self.plan.hunt.is_some(),
            in_real_time: self.plan.clock == Clock::Real,
        })
    }

    fn run_tests(&self, runner: &Runner<'_>) -> Result<()> {
        if self.plan.clock == Clock::Simulated {
            return Ok(());
        }
        say(&format!("running the tests ({})", self.since_start()));
        let count = lock(&self.outcomes).len();
        let simulations =
            deadlines::seeds_reserve(self.plan.seeds, count) + deadlines::hunt_reserve(self.plan.hunt);
        for round in 0..self.plan.runs {
            for i in 0..count {
                let (test, is_decided) = {
                    let outcome = &lock(&self.outcomes)[i];
                    (outcome.test, outcome.is_decided(self.plan.runs))
                };
                if is_decided {
                    continue;
                }
                let later = self.later(round, i);
                let share = deadlines::share(self.left(), test.seconds, later.into_iter(), simulations);
                print(&format!("{} ... ", test.problem));
                let verdict = if share < TOO_SHORT {
                    say("not run");
                    Verdict::Failed("it was not run: the time was up".to_string())
                } else {
                    let seed = test.is_simulated.then(|| self.plan.first_seed.wrapping_add(round as u64));
                    let watch = Watch::begin();
                    let ended = with_threads(test, share, |limit| runner.run(test.function, limit, seed))?;
                    let others = watch.others_used().filter(|_| seed.is_none());
                    match &ended.verdict {
                        Verdict::Passed(figures) => {
                            say(&format!("passed, {:.1} s", figures.seconds));
                            show_remarks(figures);
                        }
                        Verdict::Failed(why) => {
                            say("FAILED");
                            self.show_failure(i, &ended.output, why);
                        }
                    }
                    match (ended.verdict, others) {
                        (Verdict::Failed(why), Some(others)) => {
                            let later = self.later(round, i).into_iter();
                            let share = deadlines::share(self.left(), test.seconds, later, simulations);
                            self.judge_again(runner, test, share, why, others)?
                        }
                        (verdict, _) => verdict,
                    }
                };
                lock(&self.outcomes)[i].record_run(verdict);
            }
        }
        Ok(())
    }

    /// A second opinion on a test that has failed in real time, for the reason `why`, while others used much of the processors:
    /// `others` percent of their time. How busy the machine is must not decide, so the test is simulated, as with
    /// [`Clock::Simulated`], and passes if all seeds pass.
    fn judge_again(
        &self,
        runner: &Runner<'_>,
        test: &Test,
        share: Duration,
        why: String,
        others: u32,
    ) -> Result<Verdict> {
        let seeds = Clock::Simulated.usual_seeds();
        let busy = format!("other programs used {others} % of the processors' time");
        let undecided = |because: &str| {
            say(&format!("{busy} meanwhile. {because}"));
            Ok(Verdict::Failed(format!("{}\n{busy} meanwhile. {because}", why.trim_end())))
        };
        if !(run::CAN_SIMULATE && self.plan.simulates()) {
            return undecided("Grade again on a machine that does nothing else.");
        }
        print(&format!("{busy} meanwhile; simulated ... "));
        let began = Instant::now();
        let mut figures = None;
        for number in 0..seeds {
            let seed = self.plan.first_seed.wrapping_add(number.into());
            let left = share.saturating_sub(began.elapsed());
            let ended =
                if left < TOO_SHORT { None } else { Some(runner.run(test.function, left, Some(seed))?) };
            match ended {
                Some(Ended { verdict: Verdict::Passed(passed), .. }) => figures = Some(passed),
                Some(Ended { verdict: Verdict::Failed(again), output, .. }) if began.elapsed() < share => {
                    say(&format!("FAILED with seed {seed}"));
                    print(&foreign::quoted(&format!("{output}\n{again}")));
                    print(&report::replay(self.lab(), test.function, seed));
                    return Ok(Verdict::Failed(why));
                }
                _ => {
                    return undecided(&format!(
                        "There was time for {number} of {seeds} simulated seeds only: grade again, with less beside it, or with a \
                         later --deadline."
                    ));
                }
            }
        }
        say(&format!("passed, in {:.1} s", began.elapsed().as_secs_f64()));
        let mut figures = figures.unwrap_or_default();
        figures.remarks.insert(
            0,
            format!("it failed in real time while {busy}; with {seeds} simulated seeds it passes, so it has passed"),
        );
        Ok(Verdict::Passed(figures))
    }

    /// Prints what test `i` has printed, and why it failed, and keeps both.
    fn show_failure(&self, i: usize, output: &str, why: &str) {
        // The harness may have printed the reason already.
        let reason = if output.contains(why.trim()) { "" } else { why };
        let text = format!("{output}\n{reason}");
        print(&foreign::quoted(&text));
        lock(&self.outcomes)[i].output = text;
    }

    /// The usual seconds of all runs that may follow test `i` of this round.
    fn later(&self, round: usize, i: usize) -> Vec<f64> {
        let outcomes = lock(&self.outcomes);
        let seconds = |outcome: &Outcome| outcome.test.seconds;
        let this_round =
            outcomes[i + 1..].iter().filter(|outcome| !outcome.has_passed_in_real_time()).map(seconds);
        // In later rounds, each test is run as often as it may still need to pass.
        let rest = self.plan.runs - 1 - round;
        let needs = |outcome: &Outcome| rest.min(self.plan.must_pass.saturating_sub(outcome.runs.len()));
        let rounds =
            outcomes.iter().flat_map(|outcome| std::iter::repeat_n(seconds(outcome), needs(outcome)));
        this_round.chain(rounds).collect()
    }

    /// Simulates the tests that have passed in real time. They share the time that is left, without that of the hunt.
    fn simulate_tests(&self, runner: &Runner<'_>) -> Result<()> {
        let passed: Vec<usize> = {
            let outcomes = lock(&self.outcomes);
            let has_passed = |i: &usize| outcomes[*i].seeds > 0 && outcomes[*i].has_passed_in_real_time();
            (0..outcomes.len()).filter(has_passed).collect()
        };
        if passed.is_empty() {
            return Ok(());
        }
        let (which, option) = match self.plan.clock {
            Clock::Real => ("tests that have passed", ""),
            Clock::Simulated => ("tests", "--time simulated "),
        };
        say(&format!(
            "simulating the {which}, with {option}--seeds {} --long-seeds {} --first-seed {} ({})",
            self.plan.seeds,
            self.plan.long_seeds,
            self.plan.first_seed,
            self.since_start()
        ));
        let mut is_slow = false;
        for (done, &i) in passed.iter().enumerate() {
            let later = &passed[done + 1..];
            if is_slow && lock(&self.outcomes)[i].test.is_long {
                self.run_instead(runner, i, later)?;
                continue;
            }
            let share = match self.plan.clock {
                Clock::Real => self.left_for_seeds() / (passed.len() - done) as u32,
                Clock::Simulated => {
                    let seeds = |i: &usize| lock(&self.outcomes)[*i].seeds as u32;
                    deadlines::simulated_share(
                        self.left_for_seeds(),
                        &later.iter().map(seeds).collect::<Vec<u32>>(),
                    )
                }
            };
            if self.simulate_test(runner, i, share)? == Simulated::TooSlow {
                is_slow = true;
                self.run_instead(runner, i, later)?;
            }
        }
        Ok(())
    }

    /// Runs test `i` in real time, because the hand-in takes too long to simulate. That is no fault: a solution that copies its
    /// whole log, or has a thread for each RPC, can take a hundred times as long as another. `later`: the tests that follow.
    fn run_instead(&self, runner: &Runner<'_>, i: usize, later: &[usize]) -> Result<()> {
        let (test, later) = {
            let outcomes = lock(&self.outcomes);
            (outcomes[i].test, later.iter().map(|i| outcomes[*i].test.seconds).collect::<Vec<f64>>())
        };
        print(&format!("{}, in real time instead ... ", test.problem));
        let share = deadlines::share(self.left_for_seeds(), test.seconds, later.into_iter(), Duration::ZERO);
        if share < TOO_SHORT {
            say("not run");
            let why = "it was not run: the time was up".to_string();
            lock(&self.outcomes)[i].record_instead(Verdict::Failed(why));
            return Ok(());
        }
        let ended = with_threads(test, share, |limit| runner.run(test.function, limit, None))?;
        let verdict = match ended.verdict {
            Verdict::Passed(mut figures) => {
                say(&format!("passed, {:.1} s", figures.seconds));
                let remark = "it ran in real time, once, because simulating it takes too long";
                figures.remarks.insert(0, remark.to_string());
                Verdict::Passed(figures)
            }
            Verdict::Failed(why) => {
                say("FAILED");
                self.show_failure(i, &ended.output, &why);
                Verdict::Failed(why)
            }
        };
        lock(&self.outcomes)[i].record_instead(verdict);
        Ok(())
    }

    /// Simulates a test until a seed fails, all have passed, or its share of the time is up.
    fn simulate_test(&self, runner: &Runner<'_>, i: usize, share: Duration) -> Result<Simulated> {
        let test = lock(&self.outcomes)[i].test;
        let seeds = self.plan.seeds_of(test);
        let began = Instant::now();
        print(&format!("{}, simulated ... ", test.problem));
        for number in 0..seeds {
            let seed = self.plan.first_seed.wrapping_add(number.into());
            let left = share.saturating_sub(began.elapsed());
            let ended = if left < TOO_SHORT {
                None
            } else {
                let limit = match self.plan.clock {
                    Clock::Real => left.min(deadlines::LONGEST),
                    Clock::Simulated => {
                        deadlines::simulated_limit(test.is_long, left.max(share / 2).min(self.left()))
                    }
                };
                Some(runner.run(test.function, limit, Some(seed))?)
            };
            match ended {
                Some(Ended { verdict: verdict @ Verdict::Passed(_), .. }) => {
                    verdict.figures().into_iter().for_each(show_remarks);
                    lock(&self.outcomes)[i].record_simulated(verdict);
                }
                Some(Ended { is_unfinished: true, .. }) if self.plan.clock == Clock::Simulated => {
                    say(&format!("seed {seed} had not ended after {} s", began.elapsed().as_secs()));
                    return Ok(Simulated::TooSlow);
                }
                Some(Ended { verdict: Verdict::Failed(why), output, .. })
                    if self.plan.clock == Clock::Simulated || began.elapsed() < share =>
                {
                    say(&format!("FAILED with seed {seed}"));
                    self.show_failure(i, &output, &why);
                    print(&report::replay(self.lab(), test.function, seed));
                    let why = format!("simulated with seed {seed}: {}", why.trim_start());
                    lock(&self.outcomes)[i].record_simulated(Verdict::Failed(why));
                    return Ok(Simulated::Ended);
                }
                None if self.plan.clock == Clock::Simulated => bail!(
                    "only {number} of {seeds} seeds of {:?} were simulated within {} s: the machine is too busy; grade again, with \
                     less beside it, with fewer --seeds or with a later --deadline",
                    test.problem,
                    share.as_secs()
                ),
                // A run that is stopped because its share of the time is up proves nothing, and costs no points.
                _ => {
                    say(&format!("the time is up after {number} of {seeds} seeds"));
                    return Ok(Simulated::Ended);
                }
            }
        }
        say(&format!("passed, in {:.1} s of real time", began.elapsed().as_secs_f64()));
        Ok(Simulated::Ended)
    }

    /// Hunts for bugs in the time that is left, and prints what it finds.
    fn hunt(&self, hunter: &Hunter<'_>, asked: Duration) -> Result<Hunted> {
        let left = self.left();
        if left < TOO_SHORT {
            return Ok(Hunted::NotRun("the time was up".to_string()));
        }
        let (seconds, first_seed) = (asked.as_secs(), self.plan.first_seed);
        say(&format!(
            "hunting for bugs, with --hunt {seconds} --first-seed {first_seed} ({})",
            self.since_start()
        ));
        print("hunt ... ");
        let search = hunting::search(
            asked,
            left,
            first_seed,
            ![Part::Lab2, Part::Lab2C, Part::Lab3A].contains(&self.plan.part),
        );
        let (hunted, warning) = hunting::hunt(hunter, &search, asked)?;
        match &hunted {
            Hunted::NotRun(_) => {}
            Hunted::Nothing { .. } => say(&report::summary(&hunted)),
            Hunted::Bug { failure, .. } => {
                say(&format!("FAILED: {}", report::summary(&hunted)));
                print(&foreign::quoted(&failure.message));
                print(&report::hunt_again(self.plan.part, failure));
            }
        }
        if let Some(warning) = warning {
            print(&foreign::quoted(&format!("warning: {warning}")));
        }
        Ok(hunted)
    }

    fn since_start(&self) -> String {
        format!("{:.0} s since the start", self.plan.began.elapsed().as_secs_f64())
    }

    fn left(&self) -> Duration {
        (self.plan.time - FINISH).saturating_sub(self.plan.began.elapsed())
    }

    /// The hunt comes after the seeds. Its time is kept, but not more than half of what is left.
    fn left_for_seeds(&self) -> Duration {
        let left = self.left();
        left.saturating_sub(deadlines::hunt_reserve(self.plan.hunt)).max(left / 2)
    }

    /// Prints the result if the time is up before the grading is. Runs on a thread of its own.
    fn watch(&self) {
        std::thread::sleep((self.plan.time - LAST_CALL).saturating_sub(self.plan.began.elapsed()));
        let have_begun = {
            let mut outcomes = lock(&self.outcomes);
            for outcome in outcomes.iter_mut().filter(|outcome| !outcome.has_begun()) {
                outcome.not_run.get_or_insert("the time was up".to_string());
            }
            lock(&self.broken).is_some() || outcomes.iter().any(Outcome::has_begun)
        };
        if have_begun {
            self.finish();
        }
        // Whatever took the time, it was none of the tests.
        self.give_up(&anyhow!(
            "the time was up before a test had ended: the machine is too busy, or the deadline too early (--deadline)"
        ));
    }

    /// Prints the result, and ends this process. Only the first call does; other calls wait for that end.
    fn finish(&self) -> ! {
        let last = last_word();
        // Copy the outcomes before the tests are killed: a test that we kill has not failed.
        let outcomes = lock(&self.outcomes).clone();
        let broken = lock(&self.broken).clone();
        let hunted = lock(&self.hunted).clone();
        strays::kill_all();
        self.folders.remove();
        let result = report::Graded {
            lab: self.lab(),
            outcomes: &outcomes,
            broken: broken.as_deref(),
            hunted: hunted.as_ref(),
            hunt_points: self.plan.hunt_points,
        };
        if let Some(path) = &self.plan.gradescope
            && let Err(e) = std::fs::write(path, report::gradescope(&result))
        {
            last.print(&format!("cannot write {}: {e}\n", path.display()));
        }
        last.print(&format!("\n{}\n", report::table(&result)));
        last.print(&format!("{}\n", report::semantic(&result)));
        last.print(&format!("{}\n", report::scores(&result)));
        std::process::exit(0);
    }

    /// Ends this process without a score.
    fn give_up(&self, why: &anyhow::Error) -> ! {
        let _last = last_word();
        strays::kill_all();
        self.folders.remove();
        eprintln!("the grader failed, not the hand-in: {why:#}");
        std::process::exit(1);
    }
}

/// Runs a test, with a limit on its time. If it fails while other processes of the same user have the threads that it wants, runs it
/// again, if it has the time: another job's threads must not cost it its points.
fn with_threads(test: &Test, share: Duration, run: impl Fn(Duration) -> Result<Ended>) -> Result<Ended> {
    let began = Instant::now();
    let ended = run(share)?;
    let left = share.saturating_sub(began.elapsed());
    if !ended.lacked_threads_of_others() || left.as_secs_f64() < test.seconds {
        return Ok(ended);
    }
    print("others had the threads; again ... ");
    run(left)
}

/// Prints what looked odd in a run that has passed.
fn show_remarks(figures: &Figures) {
    for remark in &figures.remarks {
        print(&foreign::quoted(&format!("remark: {remark}")));
    }
}

/// How the simulation of a test has ended.
#[derive(PartialEq, Eq)]
enum Simulated {
    /// With a result, or because its share of the time was up.
    Ended,
    /// Nothing else shows whether the test passes, and one seed takes too long.
    TooSlow,
}

/// A panic cannot leave the guarded value half changed, so a poisoned lock is used like any other.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
