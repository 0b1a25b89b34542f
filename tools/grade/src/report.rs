//! Writes the result: a table for people, the lines that Autolab reads, and Gradescope's file.

use crate::foreign::{first_line, quoted, shown};
use crate::hunting::{self, Hunted};
use crate::lab::{Lab, Part};
use crate::outcome::Outcome;
use crate::run;
use hunt::{Failure, Trial};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// A hand-in that has been graded.
pub struct Graded<'a> {
    /// The lab that it is a hand-in of.
    pub lab: Lab,
    /// The tests.
    pub outcomes: &'a [Outcome],
    /// Why no test could be run; None if tests could be run.
    pub broken: Option<&'a str>,
    /// What the hunt has found; None if none was asked for.
    pub hunted: Option<&'a Hunted>,
    /// The points that are taken off if it has found a bug.
    pub hunt_points: f64,
}

impl Graded<'_> {
    /// The extra test because of which no points count, if there is one.
    fn closed_gate(&self) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.is_gate && outcome.has_failed())
    }

    /// The points of each test that count.
    fn points(&self) -> impl DoubleEndedIterator<Item = f64> {
        let is_open = self.closed_gate().is_none();
        self.outcomes.iter().map(move |outcome| if is_open { outcome.points } else { 0.0 })
    }

    /// The points that the tests have earned.
    fn earned(&self) -> f64 {
        self.points().sum()
    }

    /// The points that the hunt takes off.
    fn taken(&self) -> f64 {
        self.hunted.map_or(0.0, |hunted| hunted.taken(self.hunt_points, self.earned()))
    }

    /// The tests that have points of their own, with their scores: the points that they have earned, less what the hunt takes off.
    fn scored(&self) -> impl Iterator<Item = (&Outcome, Value)> {
        let scores = hunting::reduced(self.points(), self.taken());
        let scored = self.outcomes.iter().zip(scores.into_iter().map(number));
        scored.filter(|(outcome, _)| !outcome.is_gate)
    }
}

/// The table, for people.
pub fn table(graded: &Graded<'_>) -> String {
    let mut text = format!(
        "{:<33} {:<6} {:>7} {:>8} {:>10} {:>6}\n",
        "test", "result", "seconds", "RPCs", "operations", "points"
    );
    // Ignore errors: writing to a String does not fail.
    for outcome in graded.outcomes {
        let _ = write!(text, "{:<33} {:<6} ", outcome.test.problem, result(outcome));
        match outcome.figures() {
            Some(f) => _ = write!(text, "{:>7.1} {:>8} {:>10}", f.seconds, f.rpcs, f.operations),
            None => _ = write!(text, "{:>7} {:>8} {:>10}", "", "", ""),
        }
        let points = if outcome.is_gate { "gate".to_string() } else { number(outcome.points).to_string() };
        let _ = writeln!(text, " {points:>6}");
        let remark = outcome.remark();
        // If nothing was run, the reason stands above the table, once.
        if !remark.is_empty() && graded.broken.is_none() {
            let _ = writeln!(text, "    {remark}");
        }
    }
    let taken = graded.taken();
    if let Some(hunted) = graded.hunted {
        let (result, seconds) = match hunted {
            Hunted::NotRun(_) => ("-", String::new()),
            Hunted::Nothing { took, .. } => ("pass", format!("{:.1}", took.as_secs_f64())),
            Hunted::Bug { took, .. } => ("FAIL", format!("{:.1}", took.as_secs_f64())),
        };
        let points = number(-taken).to_string();
        let _ = writeln!(text, "{:<33} {result:<6} {seconds:>7} {:>8} {:>10} {points:>6}", "hunt", "", "");
        let _ = writeln!(text, "    {}", summary(hunted));
        if let Hunted::Bug { failure, .. } = hunted {
            let _ = writeln!(text, "    {}", first_line(&failure.message));
        }
    }
    let worth: f64 = graded.outcomes.iter().map(|outcome| outcome.worth).sum();
    if let Some(closed) = graded.closed_gate() {
        let _ =
            writeln!(text, "No points count, because the extra test {:?} has failed.", closed.test.problem);
    }
    let _ = writeln!(text, "{} of {} points", number(graded.earned() - taken), number(worth));
    if taken > 0.0 {
        let _ = writeln!(
            text,
            "The {} points for the bug that the hunt has found are taken from the scores of the last tests that have \
             earned any.",
            number(taken)
        );
    }
    text
}

/// One line on what the hunt has done.
pub fn summary(hunted: &Hunted) -> String {
    match hunted {
        Hunted::NotRun(why) => format!("there was no hunt: {}", first_line(why)),
        Hunted::Nothing { runs, took, asked } => {
            let short = if took < asked {
                format!(" of the {} s that were asked for: the time was up", asked.as_secs())
            } else {
                String::new()
            };
            format!("none of {runs} runs failed, in {:.1} s{short}", took.as_secs_f64())
        }
        Hunted::Bug { run, took, .. } => format!("run {run} failed, after {:.1} s", took.as_secs_f64()),
    }
}

/// "pass", "FAIL", or "-" for a test that was not run. If there are several runs, also how many of them passed.
fn result(outcome: &Outcome) -> String {
    let runs = outcome.runs.len();
    let word = match (outcome.has_passed(), runs) {
        (true, _) => "pass",
        (false, 0) => "-",
        (false, _) => "FAIL",
    };
    if runs > 1 { format!("{word} {}/{runs}", outcome.passed_runs()) } else { word.to_string() }
}

/// Whole numbers without a fraction.
fn number(value: f64) -> Value {
    // Sums and differences of decimal numbers are not exact.
    let value = (value * 1e6).round() / 1e6;
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

/// Autolab's semantic feedback, the line before the scores. A hunt that did not take place is left out.
pub fn semantic(graded: &Graded<'_>) -> String {
    let entry = |passed: bool, hint: &str| {
        if passed { json!({"passed": true}) } else { json!({"passed": false, "hint": hint}) }
    };
    let mut tests = Map::new();
    for outcome in graded.outcomes {
        // What was not run at all has its reason in the first stage.
        let entry = match (graded.broken, outcome.has_passed()) {
            (Some(_), passed) => json!({"passed": passed}),
            (None, passed) => entry(passed, &outcome.remark()),
        };
        tests.insert(outcome.test.problem.to_string(), entry);
    }
    let compiled = entry(graded.broken.is_none(), &first_line(graded.broken.unwrap_or_default()));
    let mut feedback = json!({
        "_presentation": "semantic",
        "stages": ["Build", "Tests"],
        "Build": {graded.lab.files_in_words(): compiled},
        "Tests": tests,
    });
    let hunt = match graded.hunted {
        None | Some(Hunted::NotRun(_)) => None,
        Some(Hunted::Nothing { .. }) => Some(entry(true, "")),
        Some(Hunted::Bug { failure, .. }) => Some(entry(false, &first_line(&failure.message))),
    };
    if let Some(hunt) = hunt {
        feedback["stages"] = json!(["Build", "Tests", "Hunt"]);
        feedback["Hunt"] = json!({"hunt": hunt});
    }
    feedback.to_string()
}

/// Autolab's scores, the last line of all.
pub fn scores(graded: &Graded<'_>) -> String {
    let scores: Map<String, Value> =
        graded.scored().map(|(outcome, score)| (outcome.test.problem.to_string(), score)).collect();
    json!({ "scores": scores }).to_string()
}

/// Gradescope's results.json. Students see what failed tests have printed, and nothing else of the grader's output.
pub fn gradescope(graded: &Graded<'_>) -> String {
    let mut tests: Vec<Value> = graded
        .scored()
        .map(|(outcome, score)| {
            json!({
                "name": outcome.test.problem,
                "score": score,
                "max_score": number(outcome.worth),
                "status": if outcome.has_passed() { "passed" } else { "failed" },
                "output": match (graded.broken, outcome.has_passed()) {
                    // The reason stands above all tests.
                    (Some(_), _) => String::new(),
                    (None, false) if !outcome.output.is_empty() => shown(&outcome.output),
                    (None, _) => outcome.remark(),
                },
                "visibility": "visible",
            })
        })
        .collect();
    if let Some(hunted @ (Hunted::Nothing { .. } | Hunted::Bug { .. })) = graded.hunted {
        let has_passed = matches!(hunted, Hunted::Nothing { .. });
        tests.push(json!({
            "name": "hunt",
            "status": if has_passed { "passed" } else { "failed" },
            "output": summary(hunted),
            "visibility": "visible",
        }));
    }
    let output = graded.broken.map_or_else(|| table(graded), quoted);
    format!("{:#}\n", json!({ "output": output, "tests": tests }))
}

/// What a student can do about a seed that has failed.
pub fn replay(lab: Lab, function: &str, seed: u64) -> String {
    format!(
        "    This was a simulated run (docs/simulation.md): its seconds are virtual. To run this seed at home, on Linux:\n      \
         {}\n    A seed means the same run only in the same binary, and yours may differ from the grader's. If the test passes\n    \
         at home, put LAB_RUNS=100 in front of the command: it then runs a hundred seeds, from this one on.\n",
        run::replay_command(lab, function, seed)
    )
}

/// What a student can do about the bug that the hunt has found.
pub fn hunt_again(part: Part, Failure { first, smallest, .. }: &Failure) -> String {
    let lab = hunted(part);
    let indented = |label: &str, Trial { seed, scenario }: &Trial| {
        format!("    {label}, with seed {seed}:\n      {scenario}\n")
    };
    let mut text = indented("The first run that failed", first);
    if smallest.scenario != first.scenario {
        text += &indented("The smallest run that failed in the same way", smallest);
    }
    // Ignore an error: writing to a String does not fail.
    let _ = write!(
        text,
        "    docs/simulation.md explains such a run. To hunt with this scenario and many seeds at home, on Linux:\n      {}\n    \
         To make this run alone:\n      {}\n    A seed means the same run only in the same binary, and yours may differ \
         from the grader's. If the run does not\n    fail at home, hunt with the scenario, or with all: make hunt {lab}\n",
        smallest.scenario.hunt_command(lab),
        smallest.replay_command(lab)
    );
    text
}

/// What `make hunt` is told to hunt what is graded.
pub fn hunted(part: Part) -> &'static str {
    match part {
        Part::Lab2A | Part::Lab2B | Part::Lab2C | Part::Lab2 => "LAB=2",
        Part::Lab3A => "LAB=3A",
        Part::Lab3B | Part::Lab3 => "LAB=3B",
    }
}

/// As [`not_replicated`], when the simulated runs have left it open.
pub fn not_replicated_in_real_time(function: &str, why: &str) -> String {
    format!(
        "Nothing shows that the service is replicated, so no test was run. It failed in simulation, and then in real time, where two of \
         five servers are cut off and the others must go on.\n{why}\nTo see it at home: cargo test -p kvraft --test test_test {function}"
    )
}

/// Why no points count: the hand-in has failed at the integrity gate in simulation.
pub fn not_replicated(lab: Lab, why: &str, command: &str) -> String {
    let first = match lab {
        Lab::Two => {
            "No server replaces a leader, so no test was run. When a leader is cut off, another server must lead."
        }
        Lab::Three => {
            "The service is not replicated, so no test was run. When some of its servers are cut off, the others must go on with all \
             that clients were told."
        }
    };
    format!("{first}\n{why}\nTo see it at home, on Linux: {command}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Part;
    use crate::run::{Figures, Verdict};
    use std::time::Duration;

    /// The outcome of the test with this number after one run.
    fn outcome(number: usize, run: Verdict) -> Outcome {
        let test = &Part::Lab3A.tests()[number - 1];
        let mut outcome = Outcome::new(test, test.points, 1, 0);
        outcome.record_run(run);
        outcome
    }

    fn graded(outcomes: &[Outcome]) -> Graded<'_> {
        Graded { lab: Lab::Three, outcomes, broken: None, hunted: None, hunt_points: 0.0 }
    }

    fn bug() -> Hunted {
        let trial = |seed, scenario: &str| Trial { seed, scenario: scenario.parse().unwrap() };
        let failure = Failure {
            first: trial(3, "5 servers, 2 clients: loss, crash"),
            smallest: trial(4, "3 servers, 1 client: crash"),
            message: "Election Safety: two leaders\nterm 5".to_string(),
        };
        Hunted::Bug { run: 8, took: Duration::from_secs(2), failure }
    }

    /// One that has passed and one that has failed.
    fn outcomes() -> Vec<Outcome> {
        let figures = Figures { seconds: 15.1, rpcs: 4653, operations: 126, remarks: Vec::new() };
        vec![
            outcome(1, Verdict::Passed(figures)),
            outcome(10, Verdict::Failed("it: \"hung\"\x1b[2J\nmore".to_string())),
        ]
    }

    #[test]
    fn the_scores_are_one_line_that_autolab_can_parse() {
        let line = scores(&graded(&outcomes()));
        assert_eq!(line, r#"{"scores":{"01 one client":5,"10 restarts one client":0}}"#);
        // Autolab puts quotes round every run of letters or digits before a colon.
        assert!(!line.contains('\n'));
        let before_colon = |i: usize| line[..i].chars().next_back();
        assert!(line.match_indices(':').all(|(i, _)| before_colon(i) == Some('"')), "{line}");
        let half = vec![outcome(15, Verdict::Passed(Figures::default()))];
        assert_eq!(scores(&graded(&half)), r#"{"scores":{"15 linearizability":2.5}}"#);
    }

    #[test]
    fn the_semantic_feedback_names_its_stages_and_hints() {
        let value: Value = serde_json::from_str(&semantic(&graded(&outcomes()))).unwrap();
        for stage in value["stages"].as_array().unwrap() {
            assert!(value[stage.as_str().unwrap()].is_object(), "{stage}");
        }
        assert_eq!(value["Tests"]["01 one client"]["passed"], true);
        assert_eq!(value["Tests"]["10 restarts one client"]["hint"], "it: \"hung\"\u{fffd}[2J");
        assert_eq!(value["Build"]["the four files"]["passed"], true);
        let broken: Value =
            serde_json::from_str(&semantic(&Graded { broken: Some("no\nwhy"), ..graded(&outcomes()) }))
                .unwrap();
        assert_eq!(broken["Build"]["the four files"]["hint"], "no");
        assert_eq!(broken["Tests"]["10 restarts one client"], json!({"passed": false}));
        let lab_2 = semantic(&Graded { lab: Lab::Two, ..graded(&outcomes()) });
        let lab_2: Value = serde_json::from_str(&lab_2).unwrap();
        assert_eq!(lab_2["Build"]["the file raft.rs"]["passed"], true);
    }

    #[test]
    fn a_gate_of_extra_tests_that_is_closed_takes_all_points_and_is_no_problem_of_autolab() {
        let closed = |verdict| {
            let mut outcomes = outcomes();
            let test = &Part::Lab3A.extra_tests()[0];
            let mut gate = Outcome { is_gate: true, ..Outcome::new(test, 0.0, 1, 0) };
            if let Some(verdict) = verdict {
                gate.record_run(verdict);
            }
            outcomes.push(gate);
            (scores(&graded(&outcomes)), table(&graded(&outcomes)))
        };
        for open in [None, Some(Verdict::Passed(Figures::default()))] {
            let (scores, table) = closed(open);
            assert_eq!(scores, r#"{"scores":{"01 one client":5,"10 restarts one client":0}}"#);
            assert!(table.ends_with("\n5 of 7.5 points\n") && table.contains(" gate\n"), "{table}");
        }
        let (scores, table) = closed(Some(Verdict::Failed("it hung".to_string())));
        assert_eq!(scores, r#"{"scores":{"01 one client":0,"10 restarts one client":0}}"#);
        let why = "No points count, because the extra test \"x1 append outlives its leader\" has failed.\n0 of 7.5 points\n";
        assert!(table.ends_with(why), "{table}");
    }

    #[test]
    fn gradescope_gets_each_test_with_its_score() {
        let value: Value = serde_json::from_str(&gradescope(&graded(&outcomes()))).unwrap();
        assert_eq!(value["tests"][0]["score"], 5);
        assert_eq!(value["tests"][1]["max_score"], 2.5);
        assert_eq!(value["tests"][1]["status"], "failed");
    }

    #[test]
    fn gradescope_shows_what_a_failed_test_has_printed_and_why_nothing_compiles() {
        let mut outcomes = outcomes();
        outcomes[1].output = "Test: one (3A) ...\nit: \"hung\"\x1b[2J".to_string();
        let parsed = |graded: &Graded<'_>| serde_json::from_str::<Value>(&gradescope(graded)).unwrap();
        let value = parsed(&graded(&outcomes));
        assert_eq!(value["tests"][0]["output"], "");
        assert_eq!(value["tests"][1]["output"], "Test: one (3A) ...\nit: \"hung\"\u{fffd}[2J");
        let value = parsed(&Graded { broken: Some("no\nwhy"), ..graded(&outcomes) });
        assert_eq!(
            (&value["output"], &value["tests"][1]["output"]),
            (&json!("    | no\n    | why\n"), &json!(""))
        );
    }

    #[test]
    fn the_table_has_figures_reasons_and_the_sum() {
        let text = table(&graded(&outcomes()));
        assert!(
            text.contains("01 one client                     pass      15.1     4653        126      5\n"),
            "{text}"
        );
        assert!(text.contains("FAIL") && text.contains("    it: \"hung\""), "{text}");
        assert!(text.ends_with("5 of 7.5 points\n"), "{text}");
    }

    #[test]
    fn the_table_does_not_repeat_why_nothing_was_run() {
        let mut one = Outcome::new(&Part::Lab3A.tests()[0], 5.0, 1, 0);
        one.not_run = Some("nothing could be run".to_string());
        let text = |broken| table(&Graded { broken, ..graded(std::slice::from_ref(&one)) });
        assert!(text(None).contains("\n    nothing could be run\n"));
        assert!(!text(Some("it does not compile")).contains("nothing could be run"));
    }

    #[test]
    fn the_table_counts_the_runs_if_there_are_several() {
        let mut twice = outcomes().remove(0);
        twice.record_run(Verdict::Failed("it hung".to_string()));
        assert!(table(&graded(&[twice.clone()])).contains("pass 1/2"));
        twice.must_pass = 2;
        assert!(table(&graded(&[twice])).contains("FAIL 1/2"));
    }

    #[test]
    fn a_seed_that_failed_comes_with_the_command_that_runs_it() {
        let text = replay(Lab::Three, "test_basic_3a", 17);
        let command = run::replay_command(Lab::Three, "test_basic_3a", 17);
        assert!(text.lines().any(|line| line.trim() == command), "{text}");
        assert!(text.lines().all(|line| line.starts_with("    ")), "{text}");
    }

    #[test]
    fn a_bug_takes_points_from_the_scores_and_the_table_says_why() {
        let (outcomes, bug) = (outcomes(), bug());
        let graded = Graded { hunted: Some(&bug), hunt_points: 2.0, ..graded(&outcomes) };
        assert_eq!(scores(&graded), r#"{"scores":{"01 one client":3,"10 restarts one client":0}}"#);
        let text = table(&graded);
        let row = text.lines().find(|line| line.starts_with("hunt ")).unwrap();
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["hunt", "FAIL", "2.0", "-2"], "{text}");
        assert!(text.contains("    run 8 failed, after 2.0 s\n    Election Safety: two leaders\n"), "{text}");
        assert!(text.contains("3 of 7.5 points\nThe 2 points for the bug"), "{text}");
        let value: Value = serde_json::from_str(&gradescope(&graded)).unwrap();
        assert_eq!(
            (&value["tests"][0]["score"], &value["tests"][2]["status"]),
            (&json!(3), &json!("failed"))
        );
        let value: Value = serde_json::from_str(&semantic(&graded)).unwrap();
        assert_eq!(value["stages"], json!(["Build", "Tests", "Hunt"]));
        assert_eq!(value["Hunt"]["hunt"], json!({"passed": false, "hint": "Election Safety: two leaders"}));
    }

    #[test]
    fn a_bug_that_costs_nothing_is_only_shown() {
        let (outcomes, bug) = (outcomes(), bug());
        let graded = Graded { hunted: Some(&bug), ..graded(&outcomes) };
        assert!(scores(&graded).contains(r#""01 one client":5"#));
        let text = table(&graded);
        assert!(text.contains("Election Safety") && text.ends_with("5 of 7.5 points\n"), "{text}");
    }

    #[test]
    fn a_hunt_that_found_nothing_or_did_not_run_costs_nothing() {
        let seconds = Duration::from_secs;
        let outcomes = outcomes();
        let nothing = |took| Hunted::Nothing { runs: 90, took, asked: seconds(20) };
        for (hunted, says, stages) in [
            (nothing(seconds(20)), "none of 90 runs failed, in 20.0 s\n", 3),
            (nothing(seconds(5)), "in 5.0 s of the 20 s that were asked for: the time was up\n", 3),
            (Hunted::NotRun("the time was up".to_string()), "there was no hunt: the time was up\n", 2),
        ] {
            let graded = Graded { hunted: Some(&hunted), hunt_points: 2.0, ..graded(&outcomes) };
            let text = table(&graded);
            assert!(text.contains(says) && text.ends_with("5 of 7.5 points\n"), "{text}");
            let value: Value = serde_json::from_str(&semantic(&graded)).unwrap();
            assert_eq!(value["stages"].as_array().unwrap().len(), stages, "{says}");
        }
    }

    #[test]
    fn a_bug_comes_with_the_scenario_and_the_commands_that_find_it_again() {
        let Hunted::Bug { failure, .. } = bug() else { unreachable!() };
        for (part, lab) in
            [(Part::Lab3A, "LAB=3A"), (Part::Lab3B, "LAB=3B"), (Part::Lab3, "LAB=3B"), (Part::Lab2C, "LAB=2")]
        {
            let text = hunt_again(part, &failure);
            let scenario = "3 servers, 1 client, 1000 ms, uniform: crash";
            for line in [
                scenario.to_string(),
                format!("make hunt {lab} SCENARIO='{scenario}'"),
                format!("make hunt {lab} LAB_SEED=4 SCENARIO='{scenario}'"),
            ] {
                assert!(text.lines().any(|other| other.trim() == line), "{line}: {text}");
            }
            assert!(text.lines().all(|line| line.starts_with("    ")), "{text}");
        }
    }
}
