//! The lab: the four files that a student writes, the tests that are graded, and their points.

use clap::ValueEnum;
use std::fmt;
use std::sync::LazyLock;

/// One of the four files that a student writes.
#[derive(Debug)]
pub struct StudentFile {
    /// The name in a hand-in: `raft.rs`.
    pub name: &'static str,
    /// The path in the workspace: `raft/src/raft.rs`.
    pub path: &'static str,
}

/// The four files of a hand-in. `tools/handin/files` lists them; `make handin` and `make lab3.tar` read that list too.
pub static FILES: LazyLock<[StudentFile; 4]> = LazyLock::new(|| {
    let paths: Vec<&str> = include_str!("../../handin/files").lines().collect();
    std::array::from_fn(|i| {
        let path = paths[i];
        StudentFile { name: path.rsplit('/').next().unwrap_or(path), path }
    })
});

/// A test that is graded.
#[derive(Debug)]
pub struct Test {
    /// The name of its function in the test binary.
    pub function: &'static str,
    /// Its name on Autolab, which takes letters, digits, spaces, `_` and `-`.
    pub problem: &'static str,
    /// Its points, unless the instructor says otherwise.
    pub points: f64,
    /// How many seconds it takes when all is well, clean-up included.
    pub seconds: f64,
}

const fn test(function: &'static str, problem: &'static str, points: f64, seconds: f64) -> Test {
    Test { function, problem, points, seconds }
}

/// A part of the lab that can be graded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The service without log compaction.
    #[value(name = "3A")]
    A,
    /// Log compaction.
    #[value(name = "3B")]
    B,
    /// All tests of 3A, then those of 3B.
    #[value(name = "both")]
    Both,
}

/// Why a list of points is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointsError {
    /// The list has another length than the list of tests.
    Count {
        /// How many tests there are.
        tests: usize,
        /// How many numbers were given.
        given: usize,
    },
    /// A number is negative or not finite.
    Value,
}

impl fmt::Display for PointsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PointsError::Count { tests, given } => write!(f, "--points needs {tests} numbers, not {given}"),
            PointsError::Value => f.write_str("--points: each number must be 0 or more"),
        }
    }
}

impl std::error::Error for PointsError {}

impl Part {
    /// The tests in the order in which they run.
    pub fn tests(self) -> &'static [Test] {
        match self {
            Part::A => &TESTS[..LAB_3A],
            Part::B => &TESTS[LAB_3A..],
            Part::Both => &TESTS,
        }
    }

    /// The points of each test: `own`, or the lab's points if `own` is None.
    pub fn points(self, own: Option<Vec<f64>>) -> Result<Vec<f64>, PointsError> {
        let tests = self.tests();
        let points = own.unwrap_or_else(|| tests.iter().map(|test| test.points).collect());
        if points.len() != tests.len() {
            return Err(PointsError::Count { tests: tests.len(), given: points.len() });
        }
        if points.iter().any(|points| !points.is_finite() || *points < 0.0) {
            return Err(PointsError::Value);
        }
        Ok(points)
    }
}

/// How many of the tests are Lab 3A's; those of Lab 3B follow.
const LAB_3A: usize = 15;

static TESTS: [Test; 23] = [
    test("test_basic_3a", "01 one client", 5.0, 16.0),
    test("test_concurrent_3a", "02 many clients", 5.0, 16.5),
    test("test_unreliable_3a", "03 unreliable net", 5.0, 18.5),
    test("test_unreliable_one_key_3a", "04 one key unreliable", 5.0, 3.5),
    test("test_one_partition_progress_in_majority_3a", "05 progress in majority", 5.0, 2.0),
    test("test_one_partition_no_progress_in_minority_3a", "06 no progress in minority", 5.0, 3.0),
    test("test_one_partition_completion_after_heal_3a", "07 completion after heal", 5.0, 4.0),
    test("test_many_partitions_one_client_3a", "08 partitions one client", 5.0, 23.5),
    test("test_many_partitions_many_clients_3a", "09 partitions many clients", 5.0, 24.0),
    test("test_persist_one_client_3a", "10 restarts one client", 2.5, 20.0),
    test("test_persist_concurrent_3a", "11 restarts many clients", 2.5, 21.0),
    test("test_persist_concurrent_unreliable_3a", "12 restarts unreliable", 2.5, 22.0),
    test("test_persist_partition_3a", "13 restarts partitions", 2.5, 28.0),
    test("test_persist_partition_unreliable_3a", "14 restarts partitions unreliable", 2.5, 29.0),
    test("test_persist_partition_unreliable_linearizable_3a", "15 linearizability", 2.5, 28.0),
    test("test_snapshot_rpc_3b", "16 InstallSnapshot RPC", 5.0, 2.5),
    test("test_snapshot_size_3b", "17 snapshot size", 5.0, 1.0),
    test("test_snapshot_recover_3b", "18 snapshots one client", 5.0, 19.5),
    test("test_snapshot_recover_many_clients_3b", "19 snapshots many clients", 5.0, 20.0),
    test("test_snapshot_unreliable_3b", "20 snapshots unreliable net", 5.0, 16.5),
    test("test_snapshot_unreliable_recover_3b", "21 snapshots restarts unreliable", 5.0, 21.0),
    test(
        "test_snapshot_unreliable_recover_concurrent_partition_3b",
        "22 snapshots restarts partitions",
        5.0,
        28.0,
    ),
    test(
        "test_snapshot_unreliable_recover_concurrent_partition_linearizable_3b",
        "23 snapshots linearizability",
        5.0,
        27.0,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(tests: &[Test]) -> f64 {
        tests.iter().map(|t| t.points).sum()
    }

    #[test]
    fn the_four_files_have_the_names_of_their_paths() {
        for file in &*FILES {
            assert!(file.path.ends_with(&format!("/src/{}", file.name)), "{file:?}");
        }
        assert_eq!(include_str!("../../handin/files").lines().count(), FILES.len());
    }

    #[test]
    fn lab_3a_has_sixty_points_of_which_forty_five_are_full_marks() {
        assert_eq!(sum(Part::A.tests()), 60.0);
        assert_eq!(sum(&Part::A.tests()[..9]), 45.0);
    }

    #[test]
    fn lab_3b_has_eight_tests_and_points_of_its_own() {
        assert_eq!((Part::B.tests().len(), sum(Part::B.tests())), (8, 40.0));
        assert_eq!((Part::Both.tests().len(), sum(Part::Both.tests())), (23, 100.0));
        for (part, end) in [(Part::A, "_3a"), (Part::B, "_3b")] {
            assert!(part.tests().iter().all(|test| test.function.ends_with(end)));
        }
    }

    #[test]
    fn own_points_are_as_many_as_there_are_tests() {
        assert_eq!(Part::B.points(Some(vec![1.0; 8])), Ok(vec![1.0; 8]));
        assert_eq!(Part::B.points(None), Ok(vec![5.0; 8]));
        for (part, tests) in [(Part::A, 15), (Part::B, 8), (Part::Both, 23)] {
            let error = part.points(Some(vec![1.0; 9])).unwrap_err();
            assert_eq!(error.to_string(), format!("--points needs {tests} numbers, not 9"));
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Part::B.points(Some(vec![wrong; 8])), Err(PointsError::Value));
        }
    }

    #[test]
    fn problem_names_are_such_as_autolab_takes() {
        for Test { problem, .. } in &TESTS {
            assert!(problem.chars().all(|c| c.is_ascii_alphanumeric() || " _-".contains(c)), "{problem}");
        }
    }

    /// The list in the test binary is the original. Tests beyond the Go lab's end in `_extra` and earn nothing.
    #[test]
    fn every_test_of_the_go_lab_is_graded() {
        let source = include_str!("../../../kvraft/tests/test_test.rs");
        let (_, list) = source.split_once("\nconst TESTS: ").unwrap();
        let (list, _) = list.split_once("\n];\n").unwrap();
        let names = list.split('"').skip(1).step_by(2);
        let names: Vec<&str> = names.filter(|name| !name.ends_with("_extra")).collect();
        assert_eq!(names, Part::Both.tests().iter().map(|t| t.function).collect::<Vec<_>>());
    }
}
