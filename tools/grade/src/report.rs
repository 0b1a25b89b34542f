//! Writes the result: a table for people, the lines that Autolab reads, and Gradescope's file.

use crate::foreign::{first_line, quoted};
use crate::outcome::Outcome;
use crate::run;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The table, for people.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "{:<33} {:<6} {:>7} {:>8} {:>10} {:>6}\n",
        "test", "result", "seconds", "RPCs", "operations", "points"
    );
    // Ignore errors: writing to a String does not fail.
    for outcome in outcomes {
        let _ = write!(text, "{:<33} {:<6} ", outcome.test.problem, result(outcome));
        match outcome.figures() {
            Some(f) => _ = write!(text, "{:>7.1} {:>8} {:>10}", f.seconds, f.rpcs, f.operations),
            None => _ = write!(text, "{:>7} {:>8} {:>10}", "", "", ""),
        }
        let _ = writeln!(text, " {:>6}", number(outcome.points).to_string());
        let remark = outcome.remark();
        if !remark.is_empty() {
            let _ = writeln!(text, "    {remark}");
        }
    }
    let sum = |of: fn(&Outcome) -> f64| number(outcomes.iter().map(of).sum());
    let _ = writeln!(text, "{} of {} points", sum(|o| o.points), sum(|o| o.worth));
    text
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
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

/// Autolab's semantic feedback, the line before the scores. `broken` is why no test could be run.
pub fn semantic(outcomes: &[Outcome], broken: Option<&str>) -> String {
    let entry = |passed: bool, hint: &str| {
        if passed { json!({"passed": true}) } else { json!({"passed": false, "hint": hint}) }
    };
    let mut tests = Map::new();
    for outcome in outcomes {
        tests.insert(outcome.test.problem.to_string(), entry(outcome.has_passed(), &outcome.remark()));
    }
    let compiled = entry(broken.is_none(), &first_line(broken.unwrap_or_default()));
    json!({
        "_presentation": "semantic",
        "stages": ["Build", "Tests"],
        "Build": {"the four files": compiled},
        "Tests": tests,
    })
    .to_string()
}

/// Autolab's scores, the last line of all.
pub fn scores(outcomes: &[Outcome]) -> String {
    let scores: Map<String, Value> =
        outcomes.iter().map(|outcome| (outcome.test.problem.to_string(), number(outcome.points))).collect();
    json!({ "scores": scores }).to_string()
}

/// Gradescope's results.json.
pub fn gradescope(outcomes: &[Outcome], broken: Option<&str>) -> String {
    let tests: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "name": outcome.test.problem,
                "score": number(outcome.points),
                "max_score": number(outcome.worth),
                "status": if outcome.has_passed() { "passed" } else { "failed" },
                "output": outcome.remark(),
                "visibility": "visible",
            })
        })
        .collect();
    let output = broken.map_or_else(|| table(outcomes), quoted);
    format!("{:#}\n", json!({ "output": output, "tests": tests }))
}

/// What a student can do about a seed that has failed.
pub fn replay(function: &str, seed: u64) -> String {
    format!(
        "    This was a simulated run (docs/simulation.md): its seconds are virtual. To run this seed at home, on Linux:\n      \
         {}\n    A seed means the same run only in the same binary, and yours may differ from the grader's. If the test passes\n    \
         at home, put LAB_RUNS=100 in front of the command: it then runs a hundred seeds, from this one on.\n",
        run::replay_command(function, seed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Part;
    use crate::run::{Figures, Verdict};

    /// The outcome of the test with this number after one run.
    fn outcome(number: usize, run: Verdict) -> Outcome {
        let test = &Part::A.tests()[number - 1];
        let mut outcome = Outcome::new(test, test.points, 1, 0);
        outcome.record_run(run);
        outcome
    }

    /// One that has passed and one that has failed.
    fn outcomes() -> Vec<Outcome> {
        let figures = Figures { seconds: 15.1, rpcs: 4653, operations: 126 };
        vec![
            outcome(1, Verdict::Passed(figures)),
            outcome(10, Verdict::Failed("it: \"hung\"\x1b[2J\nmore".to_string())),
        ]
    }

    #[test]
    fn the_scores_are_one_line_that_autolab_can_parse() {
        let line = scores(&outcomes());
        assert_eq!(line, r#"{"scores":{"01 one client":5,"10 restarts one client":0}}"#);
        // Autolab puts quotes round every run of letters or digits before a colon.
        assert!(!line.contains('\n'));
        let before_colon = |i: usize| line[..i].chars().next_back();
        assert!(line.match_indices(':').all(|(i, _)| before_colon(i) == Some('"')), "{line}");
        let half = vec![outcome(15, Verdict::Passed(Figures::default()))];
        assert_eq!(scores(&half), r#"{"scores":{"15 linearizability":2.5}}"#);
    }

    #[test]
    fn the_semantic_feedback_names_its_stages_and_hints() {
        let value: Value = serde_json::from_str(&semantic(&outcomes(), None)).unwrap();
        for stage in value["stages"].as_array().unwrap() {
            assert!(value[stage.as_str().unwrap()].is_object(), "{stage}");
        }
        assert_eq!(value["Tests"]["01 one client"]["passed"], true);
        assert_eq!(value["Tests"]["10 restarts one client"]["hint"], "it: \"hung\"\u{fffd}[2J");
        assert_eq!(value["Build"]["the four files"]["passed"], true);
        let broken: Value = serde_json::from_str(&semantic(&outcomes(), Some("no\nwhy"))).unwrap();
        assert_eq!(broken["Build"]["the four files"]["hint"], "no");
    }

    #[test]
    fn gradescope_gets_each_test_with_its_score() {
        let value: Value = serde_json::from_str(&gradescope(&outcomes(), None)).unwrap();
        assert_eq!(value["tests"][0]["score"], 5);
        assert_eq!(value["tests"][1]["max_score"], 2.5);
        assert_eq!(value["tests"][1]["status"], "failed");
    }

    #[test]
    fn the_table_has_figures_reasons_and_the_sum() {
        let text = table(&outcomes());
        assert!(
            text.contains("01 one client                     pass      15.1     4653        126      5\n"),
            "{text}"
        );
        assert!(text.contains("FAIL") && text.contains("    it: \"hung\""), "{text}");
        assert!(text.ends_with("5 of 7.5 points\n"), "{text}");
    }

    #[test]
    fn the_table_counts_the_runs_if_there_are_several() {
        let mut twice = outcomes().remove(0);
        twice.record_run(Verdict::Failed("it hung".to_string()));
        assert!(table(&[twice.clone()]).contains("pass 1/2"));
        twice.must_pass = 2;
        assert!(table(&[twice]).contains("FAIL 1/2"));
    }

    #[test]
    fn a_seed_that_failed_comes_with_the_command_that_runs_it() {
        let text = replay("test_basic_3a", 17);
        let command = run::replay_command("test_basic_3a", 17);
        assert!(text.lines().any(|line| line.trim() == command), "{text}");
        assert!(text.lines().all(|line| line.starts_with("    ")), "{text}");
    }
}
