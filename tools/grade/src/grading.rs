//! One grading: from the archive to the scores line.

use crate::archive::{self, Handin};
use crate::compile::{Builder, Toolchain};
use crate::confine::{self, Allowance};
use crate::deadlines;
use crate::lab::{Part, Title};
use crate::layout::{self, Folders};
use crate::report::{self, Excerpt, Figures, Row, Verdict};
use crate::strays;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is kept at the end for killing, removing and printing.
const FINISH: Duration = Duration::from_secs(10);

/// How long before its time is up the grader says what it has, whatever hangs.
const LAST_CALL: Duration = Duration::from_secs(4);

/// The user that root's titles run as: it owns nothing.
const NOBODY: u32 = 65534;

/// Held by whoever prints. What is printed last stays the last.
static PRINTING: Mutex<()> = Mutex::new(());

/// How to grade.
#[derive(Clone)]
pub struct Plan {
    pub pristine: PathBuf,
    /// Where to work; None: in a temporary folder.
    pub work: Option<PathBuf>,
    pub cache: Option<PathBuf>,
    pub began: Instant,
    pub time: Duration,
    pub build_limit: Duration,
    /// Bytes of memory for a title.
    pub memory: u64,
    /// Whose titles count.
    pub part: Part,
    /// Of each of these titles.
    pub points: Vec<f64>,
    pub runs: usize,
    pub must_pass: usize,
    /// How many seeds of each title are simulated, from the first on; 0: none, and there is no simulator in the build.
    pub seeds: u32,
    pub first_seed: u64,
    /// Which part of the points a submission gets that does not compile.
    pub broken_part: f64,
    /// Parts of names; empty: all titles.
    pub filter: Vec<String>,
    pub gradescope: Option<PathBuf>,
}

/// What there is to be printed, at any moment.
pub struct Grading {
    rows: Mutex<Vec<Row>>,
    /// Why nothing could be run.
    broken: Mutex<Option<String>>,
    folders: Folders,
    /// Whose processes the titles are, if they can be another user's.
    user: Option<u32>,
    plan: Plan,
}

impl Grading {
    pub fn new(plan: Plan) -> Result<Grading, String> {
        let titles = plan.part.titles();
        let wanted = |i: &usize| {
            let title = &titles[*i];
            let fits = |part: &String| title.function.contains(part) || title.problem.contains(part);
            plan.filter.is_empty() || plan.filter.iter().any(fits)
        };
        let rows: Vec<Row> = (0..titles.len())
            .filter(wanted)
            .map(|i| Row {
                problem: titles[i].problem,
                worth: plan.points[i],
                points: 0.0,
                runs: Vec::new(),
                must_pass: plan.must_pass,
                simulated: Vec::new(),
                seeds: plan.seeds as usize,
                not_run: None,
            })
            .collect();
        if rows.is_empty() {
            return Err(format!("no title that is graded has {} in its name", plan.filter.join(" or ")));
        }
        let usual: Vec<f64> = (0..titles.len()).filter(wanted).map(|i| titles[i].seconds).collect();
        let most = deadlines::most_seeds(plan.time, &usual, plan.must_pass);
        if plan.seeds > most {
            // Better said now than in each table.
            return Err(format!(
                "--seeds {}: beside the real runs there is time for {most} of each title within {} s; ask for fewer, or \
                 set a later --deadline",
                plan.seeds,
                plan.time.as_secs()
            ));
        }
        let folders = Folders::make(plan.work.as_deref())?;
        let user = (rustix::process::getuid().is_root() && folders.are_open()).then_some(NOBODY);
        Ok(Grading { rows: rows.into(), broken: None.into(), folders, user, plan })
    }

    /// Grades. An error means that the grader failed, not the hand-in: there is no score then.
    pub fn run(&self, handin: &Path) -> Result<(), String> {
        match archive::read(handin) {
            Err(why) => self.refuse(&why, 0.0),
            Ok(handin) => {
                for remark in &handin.remarks {
                    say(&format!("remark: {}", one_line(remark)));
                }
                if let Err(why) = self.build_and_run(&handin)? {
                    self.refuse(&why, self.plan.broken_part);
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, why: &str, part: f64) {
        say(&report::quoted(why));
        for row in lock(&self.rows).iter_mut() {
            row.points = row.worth * part;
            row.not_run = Some("nothing could be run; see above".to_string());
        }
        *lock(&self.broken) = Some(why.to_string());
    }

    /// Builds what no student wrote, and nothing else: fills the cache.
    pub fn prepare(&self) -> Result<(), String> {
        self.builder(&Toolchain::find()?)?.build_pristine(self.plan.cache.as_deref(), self.left())
    }

    /// The inner error is the hand-in's.
    fn build_and_run(&self, handin: &Handin) -> Result<Result<(), String>, String> {
        let toolchain = Toolchain::find()?;
        let builder = self.builder(&toolchain)?;
        say("building the lab's own crates");
        let titles = self.plan.part.titles();
        let needed: Duration = titles.iter().map(|title| deadlines::reserve(title.seconds)).sum();
        let limit = self.left().saturating_sub(needed).max(self.left() / 3);
        builder.build_pristine(self.plan.cache.as_deref(), limit)?;
        say(&format!(
            "building the hand-in ({:.0} s since the start)",
            self.plan.began.elapsed().as_secs_f64()
        ));
        layout::lay_over(handin, &self.folders.workspace())?;
        let limit = self.plan.build_limit.min(self.left());
        let built = builder.build_handin(limit)?;
        // The compiler ran macros and constants of the student's.
        strays::kill_all();
        let binary = match built {
            Ok(binary) => std::fs::read(binary).map_err(|e| format!("cannot read the test binary: {e}"))?,
            Err(why) => return Ok(Err(why)),
        };
        // Only now: the compiler says more, if it says anything.
        if let Some(why) = handin.forbidden() {
            return Ok(Err(why));
        }
        if let Some(gaps) = confine::gaps() {
            say(&format!("remark: the code under test is not fully confined; {gaps}"));
        }
        say(&format!(
            "running the titles ({:.0} s since the start)",
            self.plan.began.elapsed().as_secs_f64()
        ));
        self.run_titles(&binary)?;
        self.simulate_titles(&binary)?;
        Ok(Ok(()))
    }

    fn builder<'a>(&'a self, toolchain: &'a Toolchain) -> Result<Builder<'a>, String> {
        layout::copy_pristine(&self.plan.pristine, &self.folders.workspace(), false)?;
        let vendor = self.plan.pristine.join("vendor").canonicalize().ok();
        Ok(Builder { toolchain, folders: &self.folders, vendor, simulator: self.plan.seeds > 0 })
    }

    fn run_titles(&self, binary: &[u8]) -> Result<(), String> {
        let count = lock(&self.rows).len();
        for round in 0..self.plan.runs {
            for i in 0..count {
                let (title, decided) = {
                    let row = &lock(&self.rows)[i];
                    let failures = row.runs.iter().filter(|run| matches!(run, Verdict::Failed(_))).count();
                    let title = self.title(row);
                    let hopeless = failures > self.plan.runs - self.plan.must_pass;
                    (title.ok_or("a title is unknown")?, row.passed_in_real_time() || hopeless)
                };
                if decided {
                    continue;
                }
                let later = self.later(round, i);
                let seeds = deadlines::seeds_reserve(self.plan.seeds, count);
                let share = deadlines::share(self.left(), title.seconds, later.into_iter(), seeds);
                let verdict = self.run_title(binary, title.function, title.problem, share)?;
                let row = &mut lock(&self.rows)[i];
                row.runs.push(verdict);
                if row.passed() {
                    row.points = row.worth;
                }
            }
        }
        Ok(())
    }

    fn title(&self, row: &Row) -> Option<&'static Title> {
        self.plan.part.titles().iter().find(|title| title.problem == row.problem)
    }

    /// The usual seconds of what is still to be run behind title `i` of this round.
    fn later(&self, round: usize, i: usize) -> Vec<f64> {
        let rows = lock(&self.rows);
        let seconds = |row: &Row| self.title(row).map_or(0.0, |title| title.seconds);
        let this_round = rows[i + 1..].iter().filter(|row| !row.passed_in_real_time()).map(seconds);
        // As many more as each may need to pass.
        let rest = self.plan.runs - 1 - round;
        let needs = |row: &Row| rest.min(self.plan.must_pass.saturating_sub(row.runs.len()));
        let rounds = rows.iter().flat_map(|row| std::iter::repeat_n(seconds(row), needs(row)));
        this_round.chain(rounds).collect()
    }

    /// Simulates the titles that have passed in real time. Each gets its part of the time that is left.
    fn simulate_titles(&self, binary: &[u8]) -> Result<(), String> {
        let passed: Vec<usize> = {
            let rows = lock(&self.rows);
            (0..rows.len()).filter(|i| rows[*i].seeds > 0 && rows[*i].passed_in_real_time()).collect()
        };
        if passed.is_empty() {
            return Ok(());
        }
        say(&format!(
            "simulating what has passed, with --seeds {} --first-seed {} ({:.0} s since the start)",
            self.plan.seeds,
            self.plan.first_seed,
            self.plan.began.elapsed().as_secs_f64()
        ));
        for (done, &i) in passed.iter().enumerate() {
            let share = self.left() / (passed.len() - done) as u32;
            self.simulate_title(binary, i, share)?;
        }
        Ok(())
    }

    /// Simulates a title until a seed fails, all have passed, or its share of the time is up.
    fn simulate_title(&self, binary: &[u8], i: usize, share: Duration) -> Result<(), String> {
        let title = self.title(&lock(&self.rows)[i]).ok_or("a title is unknown")?;
        let began = Instant::now();
        print(&format!("{}, simulated ... ", title.problem));
        for number in 0..self.plan.seeds {
            let seed = self.plan.first_seed.wrapping_add(number.into());
            let left = share.saturating_sub(began.elapsed());
            let ended = if left < Duration::from_secs(1) {
                None
            } else {
                Some(self.run_confined(binary, title.function, left.min(deadlines::LONGEST), Some(seed))?)
            };
            let verdict = match ended {
                Some((Ok(line), _)) => Verdict::Passed(Figures::parse(&line)),
                Some((Err(why), output)) if began.elapsed() < share => {
                    say(&format!("FAILED with seed {seed}"));
                    show_failure(&output, &why);
                    print(&report::replay(title.function, seed));
                    Verdict::Failed(format!("simulated with seed {seed}: {}", why.trim_start()))
                }
                // For whatever reason: only a seed that fails takes the points away.
                _ => {
                    say(&format!("the time is up after {number} of {} seeds", self.plan.seeds));
                    return Ok(());
                }
            };
            let row = &mut lock(&self.rows)[i];
            row.simulated.push(verdict);
            if !row.passed() {
                row.points = 0.0;
                return Ok(());
            }
        }
        say(&format!("passed, in {:.1} s of real time", began.elapsed().as_secs_f64()));
        Ok(())
    }

    fn run_title(
        &self,
        binary: &[u8],
        function: &str,
        problem: &str,
        share: Duration,
    ) -> Result<Verdict, String> {
        print(&format!("{problem} ... "));
        if share < Duration::from_secs(1) {
            say("not run");
            return Ok(Verdict::Failed("it was not run: the time was up".to_string()));
        }
        let (result, output) = self.run_confined(binary, function, share, None)?;
        Ok(match result {
            Ok(line) => {
                let figures = Figures::parse(&line);
                say(&format!("passed, {:.1} s", figures.seconds));
                Verdict::Passed(figures)
            }
            Err(why) => {
                say("FAILED");
                show_failure(&output, &why);
                Verdict::Failed(why)
            }
        })
    }

    /// Runs a title once, in simulation if there is a seed; its last line or why it failed, and what it printed.
    fn run_confined(
        &self,
        binary: &[u8],
        function: &str,
        limit: Duration,
        seed: Option<u64>,
    ) -> Result<(Result<String, String>, String), String> {
        // A title before this one may have changed whatever it could write to.
        let place = self.folders.root().join("title");
        let made = || -> std::io::Result<PathBuf> {
            if place.exists() {
                std::fs::remove_dir_all(&place)?;
            }
            std::fs::create_dir_all(place.join("tmp"))?;
            let program = place.join("test_test");
            std::fs::write(&program, binary)?;
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
            chown(place.join("tmp"), self.user, self.user)?;
            Ok(program)
        };
        let program = made().map_err(|e| format!("cannot write to the work folder: {e}"))?;
        let scratch = place.join("tmp");
        let allowance = Allowance {
            memory: self.plan.memory,
            processes: crate::processes(),
            read: vec![program.clone(), self.folders.workspace()],
            write: vec![scratch.clone()],
            user: self.user,
        };
        let mut command = confine::command(&program, &allowance);
        command.env_clear().env("HOME", &scratch).env("TMPDIR", &scratch).current_dir(&scratch);
        let workspace = self.folders.workspace();
        let run = harness::TestRun {
            command,
            test: function,
            limit,
            trust: harness::Trust::Foreign,
            workspace: Some(&workspace),
            seed,
        };
        let mut output = Excerpt::default();
        let result = harness::run_test(run, &mut |text| output.push(text));
        let result = result.map(|line| line.map_or(String::new(), |line| line.to_string()));
        let result = result.map_err(|failure| failure.to_string());
        strays::kill_all();
        Ok((result, output.text()))
    }

    fn left(&self) -> Duration {
        (self.plan.time - FINISH).saturating_sub(self.plan.began.elapsed())
    }

    /// Prints the result if the time is up before the grading is. Runs on a thread of its own.
    pub fn watch(&self) {
        std::thread::sleep((self.plan.time - LAST_CALL).saturating_sub(self.plan.began.elapsed()));
        for row in lock(&self.rows).iter_mut().filter(|row| row.runs.is_empty()) {
            row.not_run = Some("the time was up".to_string());
        }
        self.finish();
    }

    /// Prints the result, and ends this process. Only the first call does; others wait for that end.
    pub fn finish(&self) -> ! {
        // Held to the end of the process: nobody prints any more.
        std::mem::forget(lock(&PRINTING));
        // Before the rest is killed, which is no title's fault.
        let rows = lock(&self.rows).clone();
        let broken = lock(&self.broken).clone();
        strays::kill_all();
        self.folders.remove();
        if let Some(path) = &self.plan.gradescope
            && let Err(e) = std::fs::write(path, report::gradescope(&rows, broken.as_deref()))
        {
            write(&format!("cannot write {}: {e}\n", path.display()));
        }
        write(&format!("\n{}\n", report::table(&rows)));
        write(&format!("{}\n", report::semantic(&rows, broken.as_deref())));
        write(&format!("{}\n", report::scores(&rows)));
        std::process::exit(0);
    }

    /// Ends this process without a score.
    pub fn give_up(&self, why: &str) -> ! {
        std::mem::forget(lock(&PRINTING));
        strays::kill_all();
        self.folders.remove();
        eprintln!("the grader failed, not the hand-in: {why}");
        std::process::exit(1);
    }
}

/// Prints what a title has printed, and why it failed.
fn show_failure(output: &str, why: &str) {
    // The harness has printed its reason already.
    let reason = if output.contains(why.trim()) { "" } else { why };
    print(&report::quoted(&format!("{output}\n{reason}")));
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn say(line: &str) {
    print(&format!("{line}\n"));
}

fn print(text: &str) {
    let _printing = lock(&PRINTING);
    write(text);
}

/// When nobody reads, there is nobody to be told.
fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// What the locks guard is whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
