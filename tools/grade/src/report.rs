//! What the grader prints: progress, a table, and the two lines that Autolab reads.
//!
//! What a student's code printed is shown with a bar in front of each line, cut to a size, and without control
//! characters: no line of it can be taken for one of the grader's.

use serde_json::{Map, Value, json};
use std::fmt::Write;

/// How much of a failed title's reason, and of its output, is shown.
const SHOWN: usize = 4000;

/// How a title ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// With what the title's last line says.
    Passed(Figures),
    Failed(String),
}

impl Verdict {
    fn figures(&self) -> Option<&Figures> {
        match self {
            Verdict::Passed(figures) => Some(figures),
            Verdict::Failed(_) => None,
        }
    }
}

/// The numbers of a line such as "  ... Passed --  15.1  5  4653  126".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub seconds: f64,
    pub rpcs: u64,
    pub operations: u64,
}

impl Figures {
    pub fn parse(line: &str) -> Figures {
        let mut numbers = line.split_whitespace().skip_while(|word| *word != "--").skip(1);
        let mut next = || numbers.next().unwrap_or_default();
        let (seconds, _servers) = (next().parse().unwrap_or_default(), next());
        Figures {
            seconds,
            rpcs: next().parse().unwrap_or_default(),
            operations: next().parse().unwrap_or_default(),
        }
    }
}

/// One line of the result.
#[derive(Clone, Debug)]
pub struct Row {
    pub problem: &'static str,
    /// What it is worth.
    pub worth: f64,
    /// What was earned.
    pub points: f64,
    /// Its runs, of which so many had to pass.
    pub runs: Vec<Verdict>,
    pub must_pass: usize,
    /// Its simulated runs, all of which had to pass, and how many there were to be: less is for want of time.
    pub simulated: Vec<Verdict>,
    pub seeds: usize,
    /// Why it was not run.
    pub not_run: Option<String>,
}

impl Row {
    pub fn passed(&self) -> bool {
        self.passed_in_real_time() && passes(&self.simulated) == self.simulated.len()
    }

    /// Whether its runs in real time have passed.
    pub fn passed_in_real_time(&self) -> bool {
        passes(&self.runs) >= self.must_pass
    }

    /// Of the last run that passed.
    fn figures(&self) -> Option<&Figures> {
        self.runs.iter().rev().find_map(Verdict::figures)
    }

    /// The first line of what went wrong, or was odd.
    fn remark(&self) -> String {
        if !self.passed() {
            let runs = if self.passed_in_real_time() { &self.simulated } else { &self.runs };
            let failed = runs.iter().find_map(|run| match run {
                Verdict::Failed(why) => Some(why.as_str()),
                Verdict::Passed(_) => None,
            });
            return first_line(failed.or(self.not_run.as_deref()).unwrap_or("it was not run"));
        }
        if self.simulated.len() < self.seeds {
            let (run, all) = (self.simulated.len(), self.seeds);
            return format!("only {run} of {all} seeds were simulated: the time was up");
        }
        // Every operation needs a server, and a server is reached by an RPC.
        let is_odd = |figures: &Figures| figures.rpcs < figures.operations;
        if self.figures().into_iter().chain(self.simulated.iter().filter_map(Verdict::figures)).any(is_odd) {
            return "fewer RPCs than operations: have a look at how it works".to_string();
        }
        String::new()
    }
}

fn passes(runs: &[Verdict]) -> usize {
    runs.iter().filter(|run| run.figures().is_some()).count()
}

fn first_line(text: &str) -> String {
    let line = clean(text.trim_start().lines().next().unwrap_or_default());
    match line.char_indices().nth(160) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

/// The table, for people.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<33} {:<6} {:>7} {:>8} {:>10} {:>6}\n",
        "title", "result", "seconds", "RPCs", "operations", "points"
    );
    // Writing to a String does not fail.
    for row in rows {
        let result = match (row.passed(), row.runs.len()) {
            (true, _) => "pass",
            (false, 0) => "-",
            (false, _) => "FAIL",
        };
        let result = if row.runs.len() > 1 {
            format!("{result} {}/{}", passes(&row.runs), row.runs.len())
        } else {
            result.into()
        };
        let _ = write!(text, "{:<33} {result:<6} ", row.problem);
        match row.figures() {
            Some(f) => _ = write!(text, "{:>7.1} {:>8} {:>10}", f.seconds, f.rpcs, f.operations),
            None => _ = write!(text, "{:>7} {:>8} {:>10}", "", "", ""),
        }
        let _ = writeln!(text, " {:>6}", number(row.points).to_string());
        let remark = row.remark();
        if !remark.is_empty() {
            let _ = writeln!(text, "    {remark}");
        }
    }
    let [points, worth] = [|r: &Row| r.points, |r: &Row| r.worth].map(|f| rows.iter().map(f).sum::<f64>());
    let _ = writeln!(text, "{} of {} points", number(points), number(worth));
    text
}

/// Whole numbers without a fraction.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

/// Autolab's semantic feedback, which it expects before the scores. `broken` is why there was nothing to be run.
pub fn semantic(rows: &[Row], broken: Option<&str>) -> String {
    let outcome = |passed: bool, hint: &str| {
        if passed { json!({"passed": true}) } else { json!({"passed": false, "hint": hint}) }
    };
    let mut tests = Map::new();
    for row in rows {
        tests.insert(row.problem.to_string(), outcome(row.passed(), &row.remark()));
    }
    let compiled = outcome(broken.is_none(), &first_line(broken.unwrap_or_default()));
    json!({
        "_presentation": "semantic",
        "stages": ["Build", "Tests"],
        "Build": {"the four files": compiled},
        "Tests": tests,
    })
    .to_string()
}

/// Autolab's scores: the last line of all.
pub fn scores(rows: &[Row]) -> String {
    let scores: Map<String, Value> =
        rows.iter().map(|row| (row.problem.to_string(), number(row.points))).collect();
    json!({ "scores": scores }).to_string()
}

/// Gradescope's results.json.
pub fn gradescope(rows: &[Row], broken: Option<&str>) -> String {
    let tests: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.problem,
                "score": number(row.points),
                "max_score": number(row.worth),
                "status": if row.passed() { "passed" } else { "failed" },
                "output": row.remark(),
                "visibility": "visible",
            })
        })
        .collect();
    let output = broken.map_or_else(|| table(rows), quoted);
    format!("{:#}\n", json!({ "output": output, "tests": tests }))
}

/// Foreign text, so that it cannot be taken for ours.
pub fn quoted(text: &str) -> String {
    shortened(text, SHOWN).lines().fold(String::new(), |all, line| all + "    | " + line + "\n")
}

/// What a student can do about a seed that has failed.
pub fn replay(function: &str, seed: u64) -> String {
    format!(
        "    A simulated run (docs/simulation.md): its seconds are virtual. To run this seed at home, on x86-64 Linux:\n      \
         {}\n    A seed means the same run only in the same binary, and yours may differ from the grader's. If it passes\n    \
         there, put LAB_RUNS=100 in front: that runs a hundred seeds from this one on.\n",
        harness::replay("kvraft", "test_test", function, seed)
    )
}

/// The beginning and the end of a text, at most about `size` bytes in all, without control characters.
pub fn shortened(text: &str, size: usize) -> String {
    let text = clean(text);
    if text.len() <= size {
        return text;
    }
    let head = text.floor_char_boundary_of(size / 4);
    let tail = text.floor_char_boundary_of(text.len() - size * 3 / 4);
    format!("{}\n[{} bytes are left out]\n{}", &text[..head], tail - head, &text[tail..])
}

trait CharBoundary {
    /// The last place at or before `index` where the text can be cut.
    fn floor_char_boundary_of(&self, index: usize) -> usize;
}

impl CharBoundary for str {
    fn floor_char_boundary_of(&self, index: usize) -> usize {
        (0..=index).rev().find(|i| self.is_char_boundary(*i)).unwrap_or(0)
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Keeps the beginning and the end of a title's output, whose amount is not bounded.
#[derive(Default)]
pub struct Excerpt {
    head: Vec<u8>,
    tail: Vec<u8>,
    left_out: u64,
}

impl Excerpt {
    pub fn push(&mut self, text: &[u8]) {
        let (now, later) = text.split_at(text.len().min(SHOWN - self.head.len()));
        self.head.extend_from_slice(now);
        self.tail.extend_from_slice(later);
        // Not at each piece: moving is the cost of it.
        if self.tail.len() > 64 * SHOWN {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let cut = self.tail.len().saturating_sub(SHOWN);
        self.left_out += cut as u64;
        self.tail.drain(..cut);
    }

    pub fn text(mut self) -> String {
        self.shorten();
        let [head, tail] = [&self.head, &self.tail].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        match self.left_out {
            0 => head + &tail,
            n => format!("{head}\n[{n} bytes are left out]\n{tail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(problem: &'static str, worth: f64, run: Verdict) -> Row {
        let points = if matches!(run, Verdict::Passed(_)) { worth } else { 0.0 };
        Row {
            problem,
            worth,
            points,
            runs: vec![run],
            must_pass: 1,
            simulated: Vec::new(),
            seeds: 0,
            not_run: None,
        }
    }

    fn rows() -> Vec<Row> {
        let figures = Figures::parse("  ... Passed --  15.1  5  4653  126");
        vec![
            row("01 one client", 5.0, Verdict::Passed(figures)),
            row("10 restarts one client", 2.5, Verdict::Failed("it: \"hung\"\x1b[2J\nmore".to_string())),
        ]
    }

    #[test]
    fn figures_are_those_of_the_last_line() {
        let figures = Figures::parse("  ... Passed --   0.6  5    53    2");
        assert_eq!(figures, Figures { seconds: 0.6, rpcs: 53, operations: 2 });
        assert_eq!(Figures::parse("whatever"), Figures::default());
    }

    #[test]
    fn the_scores_are_one_line_that_autolab_can_parse() {
        let line = scores(&rows());
        assert_eq!(line, r#"{"scores":{"01 one client":5,"10 restarts one client":0}}"#);
        // Autolab puts quotes round every run of letters or digits before a colon.
        assert!(!line.contains('\n'));
        let before_colon = |i: usize| line[..i].chars().next_back();
        assert!(line.match_indices(':').all(|(i, _)| before_colon(i) == Some('"')), "{line}");
        let half = vec![row("a", 2.5, Verdict::Passed(Figures::default()))];
        assert_eq!(scores(&half), r#"{"scores":{"a":2.5}}"#);
    }

    #[test]
    fn the_semantic_feedback_names_its_stages_and_hints() {
        let value: Value = serde_json::from_str(&semantic(&rows(), None)).unwrap();
        for stage in value["stages"].as_array().unwrap() {
            assert!(value[stage.as_str().unwrap()].is_object(), "{stage}");
        }
        assert_eq!(value["Tests"]["01 one client"]["passed"], true);
        assert_eq!(value["Tests"]["10 restarts one client"]["hint"], "it: \"hung\"\u{fffd}[2J");
        assert_eq!(value["Build"]["the four files"]["passed"], true);
        let broken: Value = serde_json::from_str(&semantic(&rows(), Some("no\nwhy"))).unwrap();
        assert_eq!(broken["Build"]["the four files"]["hint"], "no");
    }

    #[test]
    fn gradescope_gets_each_test_with_its_score() {
        let value: Value = serde_json::from_str(&gradescope(&rows(), None)).unwrap();
        assert_eq!(value["tests"][0]["score"], 5);
        assert_eq!(value["tests"][1]["max_score"], 2.5);
        assert_eq!(value["tests"][1]["status"], "failed");
    }

    #[test]
    fn the_table_has_figures_reasons_and_the_sum() {
        let text = table(&rows());
        assert!(
            text.contains("01 one client                     pass      15.1     4653        126      5\n"),
            "{text}"
        );
        assert!(text.contains("FAIL") && text.contains("it: \"hung\""), "{text}");
        assert!(text.ends_with("5 of 7.5 points\n"), "{text}");
        let few = Figures { seconds: 1.0, rpcs: 0, operations: 9 };
        assert!(table(&[row("x", 5.0, Verdict::Passed(few))]).contains("fewer RPCs than operations"));
    }

    #[test]
    fn of_several_runs_enough_must_pass() {
        let mut row = rows().remove(0);
        row.runs.push(Verdict::Failed("it hung".to_string()));
        row.must_pass = 1;
        assert!(row.passed() && table(&[row.clone()]).contains("pass 1/2"));
        row.must_pass = 2;
        assert!(!row.passed() && table(&[row]).contains("FAIL 1/2"));
    }

    #[test]
    fn each_seed_must_pass_and_the_one_that_failed_is_named() {
        let mut row = rows().remove(0);
        row.seeds = 2;
        row.simulated.push(Verdict::Passed(Figures::default()));
        // What could not be run costs nobody points.
        let text = table(&[row.clone()]);
        assert!(
            row.passed() && text.contains("    only 1 of 2 seeds were simulated: the time was up\n"),
            "{text}"
        );
        let mut failed = row.clone();
        failed.simulated.push(Verdict::Failed("simulated with seed 7: it hung\nmore".to_string()));
        assert!(!failed.passed());
        let text = table(&[failed]);
        assert!(text.contains("FAIL") && text.contains("    simulated with seed 7: it hung\n"), "{text}");
        row.simulated.push(Verdict::Passed(Figures { seconds: 1.0, rpcs: 0, operations: 9 }));
        assert!(row.passed() && table(&[row.clone()]).contains("fewer RPCs than operations"));
        // What failed in real time says so, whatever its seeds do.
        row.runs = vec![Verdict::Failed("it panicked".to_string())];
        assert!(!row.passed() && table(&[row]).contains("    it panicked\n"));
    }

    #[test]
    fn a_seed_that_failed_comes_with_the_command_that_runs_it() {
        let text = replay("test_basic_3a", 17);
        let command = "LAB_SIM=1 LAB_SEED=17 cargo test -p kvraft --test test_test -- --exact test_basic_3a";
        assert!(text.lines().any(|line| line.trim() == command), "{text}");
        assert!(text.lines().all(|line| line.starts_with("    ")), "{text}");
    }

    #[test]
    fn foreign_text_cannot_be_taken_for_ours() {
        let text = quoted("{\"scores\": {}}\r\n\n{\"scores\": {}}");
        assert!(text.lines().all(|line| line.starts_with("    | ")), "{text}");
        assert!(!text.contains('\r'));
        assert!(quoted(&"\u{e9}\n".repeat(100_000)).len() < 4 * SHOWN);
    }

    #[test]
    fn an_excerpt_has_the_beginning_and_the_end_of_any_output() {
        let mut excerpt = Excerpt::default();
        excerpt.push(b"begin\n");
        (0..100_000).for_each(|_| excerpt.push(b"tick tick tick\n"));
        excerpt.push(b"end\n");
        assert!(excerpt.tail.len() <= 64 * SHOWN);
        let text = excerpt.text();
        assert!(text.starts_with("begin\n") && text.ends_with("end\n") && text.len() < 3 * SHOWN);
        assert!(text.contains("bytes are left out"));
        let mut short = Excerpt::default();
        short.push(&[b'x'; SHOWN]);
        short.push(b"y");
        assert_eq!(short.text(), "x".repeat(SHOWN) + "y");
    }
}
