//! What one test has earned, and why.

use crate::foreign::first_line;
use crate::lab::Test;
use crate::run::{Figures, Verdict};

/// The result of one test.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub test: &'static Test,
    /// The points that it can earn.
    pub worth: f64,
    /// The points that it has earned.
    pub points: f64,
    /// Its runs in real time.
    pub runs: Vec<Verdict>,
    /// How many of them must pass.
    pub must_pass: usize,
    /// Its simulated runs, all of which must pass.
    pub simulated: Vec<Verdict>,
    /// How many simulated runs there should be; there are fewer if the time was up before.
    pub seeds: usize,
    /// Why it was not run.
    pub not_run: Option<String>,
    /// What the run that failed has printed, and why it failed; empty if none has failed.
    pub output: String,
    /// True if no points of any test count when it fails. It has no points of its own then.
    pub is_gate: bool,
}

impl Outcome {
    pub fn new(test: &'static Test, worth: f64, must_pass: usize, seeds: usize) -> Outcome {
        Outcome {
            test,
            worth,
            points: 0.0,
            runs: Vec::new(),
            must_pass,
            simulated: Vec::new(),
            seeds,
            not_run: None,
            output: String::new(),
            is_gate: false,
        }
    }

    pub fn record_run(&mut self, verdict: Verdict) {
        self.runs.push(verdict);
        self.count_points();
    }

    pub fn record_simulated(&mut self, verdict: Verdict) {
        self.simulated.push(verdict);
        self.count_points();
    }

    /// A run in real time decides instead of the seeds that were not simulated.
    pub fn record_instead(&mut self, verdict: Verdict) {
        (self.must_pass, self.seeds) = (1, self.simulated.len());
        self.record_run(verdict);
    }

    fn count_points(&mut self) {
        self.points = if self.has_passed() { self.worth } else { 0.0 };
    }

    pub fn has_passed(&self) -> bool {
        // Without runs in real time, all seeds must have run: nothing else shows anything.
        let seeds = if self.is_only_simulated() { self.seeds } else { self.simulated.len() };
        self.has_passed_in_real_time() && passes(&self.simulated) == seeds
    }

    /// True if a run has failed.
    pub fn has_failed(&self) -> bool {
        !self.has_passed() && self.has_begun()
    }

    /// True if there was a run.
    pub fn has_begun(&self) -> bool {
        !self.runs.is_empty() || !self.simulated.is_empty()
    }

    /// True if it has no runs in real time.
    fn is_only_simulated(&self) -> bool {
        self.must_pass == 0
    }

    /// True if enough runs in real time have passed.
    pub fn has_passed_in_real_time(&self) -> bool {
        self.passed_runs() >= self.must_pass
    }

    /// How many runs in real time have passed.
    pub fn passed_runs(&self) -> usize {
        passes(&self.runs)
    }

    /// True if another of `runs` runs in real time cannot change the result.
    pub fn is_decided(&self, runs: usize) -> bool {
        let failed = self.runs.len() - self.passed_runs();
        self.has_passed_in_real_time() || failed > runs - self.must_pass
    }

    /// The figures of the last run that passed: of one in real time, unless there are none.
    pub fn figures(&self) -> Option<&Figures> {
        let runs = if self.is_only_simulated() { &self.simulated } else { &self.runs };
        runs.iter().rev().find_map(Verdict::figures)
    }

    /// One line on what went wrong or looks odd; empty if nothing did.
    pub fn remark(&self) -> String {
        if !self.has_passed() {
            let runs = if self.has_passed_in_real_time() { &self.simulated } else { &self.runs };
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
        let passed = || self.figures().into_iter().chain(self.simulated.iter().filter_map(Verdict::figures));
        // Every operation needs a server, and a server is reached by an RPC.
        let is_odd = |figures: &Figures| figures.rpcs < figures.operations;
        if passed().any(is_odd) {
            return "fewer RPCs than operations: look at how the servers communicate".to_string();
        }
        passed()
            .flat_map(|figures| &figures.remarks)
            .next()
            .map_or_else(String::new, |remark| first_line(remark))
    }
}

fn passes(runs: &[Verdict]) -> usize {
    runs.iter().filter(|run| run.figures().is_some()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Part;

    fn outcome(must_pass: usize, seeds: usize) -> Outcome {
        Outcome::new(&Part::Lab3A.tests()[0], 5.0, must_pass, seeds)
    }

    fn passed() -> Verdict {
        Verdict::Passed(Figures::default())
    }

    fn failed() -> Verdict {
        Verdict::Failed("it hung\nmore".to_string())
    }

    #[test]
    fn of_several_runs_enough_must_pass() {
        let mut one = outcome(1, 0);
        one.record_run(failed());
        assert!(!one.has_passed() && one.points == 0.0 && !one.is_decided(2) && one.is_decided(1));
        one.record_run(passed());
        assert!(one.has_passed() && one.points == 5.0 && one.is_decided(3));
        let mut two = outcome(2, 0);
        two.record_run(passed());
        assert!(!two.has_passed() && two.points == 0.0 && !two.is_decided(2));
        two.record_run(failed());
        assert!(!two.has_passed() && two.is_decided(2) && !two.is_decided(3));
        assert_eq!(two.remark(), "it hung");
    }

    #[test]
    fn each_seed_must_pass_and_the_one_that_failed_is_named() {
        let mut ran_out = outcome(1, 2);
        ran_out.record_run(passed());
        ran_out.record_simulated(passed());
        // What could not be run costs no points.
        assert!(ran_out.has_passed() && ran_out.points == 5.0);
        assert_eq!(ran_out.remark(), "only 1 of 2 seeds were simulated: the time was up");
        let mut failed_seed = ran_out.clone();
        failed_seed.record_simulated(Verdict::Failed("simulated with seed 7: it hung\nmore".to_string()));
        assert!(!failed_seed.has_passed() && failed_seed.points == 0.0);
        assert_eq!(failed_seed.remark(), "simulated with seed 7: it hung");
    }

    #[test]
    fn in_simulated_time_all_seeds_must_have_passed() {
        let mut outcome = outcome(0, 2);
        assert!(!outcome.has_passed() && !outcome.has_begun() && outcome.remark() == "it was not run");
        outcome.record_simulated(passed());
        assert!(!outcome.has_passed() && outcome.points == 0.0);
        let mut failed = outcome.clone();
        outcome.record_simulated(passed());
        assert!(outcome.has_passed() && outcome.points == 5.0 && outcome.figures().is_some());
        failed.record_simulated(Verdict::Failed("simulated with seed 7: it hung".to_string()));
        assert!(failed.has_failed() && failed.remark() == "simulated with seed 7: it hung");
    }

    #[test]
    fn a_run_in_real_time_can_stand_for_seeds_but_not_for_one_that_failed() {
        let mut slow = outcome(0, 2);
        slow.record_simulated(passed());
        let (mut hangs, mut failed_seed) = (slow.clone(), slow.clone());
        slow.record_instead(passed());
        assert!(slow.has_passed() && slow.points == 5.0 && slow.remark().is_empty());
        hangs.record_instead(failed());
        assert!(hangs.has_failed() && hangs.points == 0.0 && hangs.remark() == "it hung");
        failed_seed.record_simulated(failed());
        failed_seed.record_instead(passed());
        assert!(!failed_seed.has_passed());
    }

    #[test]
    fn a_failure_in_real_time_is_named_whatever_the_seeds_do() {
        let mut outcome = outcome(1, 1);
        outcome.record_run(Verdict::Failed("it panicked".to_string()));
        outcome.record_simulated(passed());
        assert!(!outcome.has_passed());
        assert_eq!(outcome.remark(), "it panicked");
    }

    #[test]
    fn what_looked_odd_in_a_run_that_has_passed_is_remarked() {
        let mut outcome = outcome(1, 0);
        let remarks = vec!["server 3 got no message\nmore".to_string()];
        outcome.record_run(Verdict::Passed(Figures {
            rpcs: 9,
            operations: 1,
            remarks,
            ..Figures::default()
        }));
        assert!(outcome.has_passed() && outcome.points == 5.0);
        assert_eq!(outcome.remark(), "server 3 got no message");
    }

    #[test]
    fn fewer_rpcs_than_operations_are_remarked_of_real_and_simulated_runs() {
        let few = || Verdict::Passed(Figures { rpcs: 0, operations: 9, ..Figures::default() });
        let mut real = outcome(1, 0);
        real.record_run(few());
        let mut simulated = outcome(1, 1);
        simulated.record_run(passed());
        assert_eq!(simulated.clone().remark(), "only 0 of 1 seeds were simulated: the time was up");
        simulated.record_simulated(few());
        for outcome in [real, simulated] {
            assert!(outcome.has_passed() && outcome.remark().starts_with("fewer RPCs than operations"));
        }
    }
}
