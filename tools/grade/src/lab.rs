//! The labs: the files that a student writes, the tests that are graded, and their points.

use clap::ValueEnum;
use std::fmt;
use std::sync::LazyLock;

/// A file that a student writes.
#[derive(Debug)]
pub struct StudentFile {
    /// The name in a hand-in: `raft.rs`.
    pub name: &'static str,
    /// The path in the workspace: `raft/src/raft.rs`.
    pub path: &'static str,
}

/// The four files, of both labs. `tools/handin/files` lists them; `make handin` and `make lab3.tar` read that list too.
pub static FILES: LazyLock<[StudentFile; 4]> = LazyLock::new(|| {
    let paths: Vec<&str> = include_str!("../../handin/files").lines().collect();
    std::array::from_fn(|i| {
        let path = paths[i];
        StudentFile { name: path.rsplit('/').next().unwrap_or(path), path }
    })
});

/// One of the two labs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lab {
    /// Raft alone.
    Two,
    /// The key/value service, and the Raft server below it.
    Three,
}

impl Lab {
    /// Its number: "2".
    pub fn number(self) -> &'static str {
        match self {
            Lab::Two => "2",
            Lab::Three => "3",
        }
    }

    /// The files of a hand-in: of Lab 2, only the first of the four.
    pub fn files(self) -> &'static [StudentFile] {
        match self {
            Lab::Two => &FILES[..1],
            Lab::Three => &*FILES,
        }
    }

    /// The files of a hand-in, in words.
    pub fn files_in_words(self) -> &'static str {
        match self {
            Lab::Two => "the file raft.rs",
            Lab::Three => "the four files",
        }
    }

    /// The package whose tests are graded.
    pub fn package(self) -> &'static str {
        match self {
            Lab::Two => "raft",
            Lab::Three => "kvraft",
        }
    }

    /// The name of a hand-in.
    pub fn handin(self) -> &'static str {
        match self {
            Lab::Two => "lab2-handin.tar",
            Lab::Three => "lab3-handin.tar",
        }
    }

    /// The command that packs a hand-in.
    pub fn pack_command(self) -> &'static str {
        match self {
            Lab::Two => "make handin LAB=2",
            Lab::Three => "make handin",
        }
    }
}

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
    /// True if it measures time and is therefore always simulated.
    pub is_simulated: bool,
    /// True if its clients make thousands of operations one after the other, on a network that delays none: a simulated run takes 0.3 s
    /// or more of processor time, and the other tests' runs take 0.1 s on average.
    pub is_long: bool,
}

const fn test(function: &'static str, problem: &'static str, points: f64, seconds: f64) -> Test {
    Test { function, problem, points, seconds, is_simulated: false, is_long: false }
}

/// As [`test`], but long in simulation.
const fn long(function: &'static str, problem: &'static str, points: f64, seconds: f64) -> Test {
    Test { is_long: true, ..test(function, problem, points, seconds) }
}

/// A test beyond the Go lab's, which runs only if the instructor wants it.
const fn extra(function: &'static str, problem: &'static str, seconds: f64) -> Test {
    test(function, problem, 0.0, seconds)
}

/// As [`extra`], but always simulated.
const fn simulated(function: &'static str, problem: &'static str, seconds: f64) -> Test {
    Test { is_simulated: true, ..extra(function, problem, seconds) }
}

/// A part of the labs that can be graded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Elections.
    #[value(name = "2A")]
    Lab2A,
    /// The log.
    #[value(name = "2B")]
    Lab2B,
    /// Persistence.
    #[value(name = "2C")]
    Lab2C,
    /// All tests of Lab 2.
    #[value(name = "2")]
    Lab2,
    /// The service without log compaction.
    #[value(name = "3A")]
    Lab3A,
    /// Log compaction.
    #[value(name = "3B")]
    Lab3B,
    /// All tests of 3A, then those of 3B.
    #[value(name = "both", alias = "3")]
    Lab3,
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
            Part::Lab2A => &LAB_2[..2],
            Part::Lab2B => &LAB_2[2..9],
            Part::Lab2C => &LAB_2[9..],
            Part::Lab2 => &LAB_2,
            Part::Lab3A => &LAB_3[..15],
            Part::Lab3B => &LAB_3[15..],
            Part::Lab3 => &LAB_3,
        }
    }

    /// The tests beyond the Go lab's. Those of Lab 2 restart servers, so they need all of Raft.
    pub fn extra_tests(self) -> &'static [Test] {
        match self {
            Part::Lab2A | Part::Lab2B => &[],
            Part::Lab2C | Part::Lab2 => &EXTRA_2,
            Part::Lab3A => &EXTRA_3[..3],
            Part::Lab3B => &EXTRA_3[3..],
            Part::Lab3 => &EXTRA_3,
        }
    }

    /// The lab that it is a part of.
    pub fn lab(self) -> Lab {
        match self {
            Part::Lab2A | Part::Lab2B | Part::Lab2C | Part::Lab2 => Lab::Two,
            Part::Lab3A | Part::Lab3B | Part::Lab3 => Lab::Three,
        }
    }

    /// The word that `--part` takes.
    pub fn word(self) -> &'static str {
        match self {
            Part::Lab2A => "2A",
            Part::Lab2B => "2B",
            Part::Lab2C => "2C",
            Part::Lab2 => "2",
            Part::Lab3A => "3A",
            Part::Lab3B => "3B",
            Part::Lab3 => "both",
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

static LAB_2: [Test; 17] = [
    test("test_initial_election_2a", "01 initial election", 5.0, 3.5),
    test("test_re_election_2a", "02 election after network failure", 5.0, 5.0),
    test("test_basic_agree_2b", "03 basic agreement", 5.0, 1.0),
    test("test_fail_agree_2b", "04 follower disconnection", 5.0, 5.5),
    test("test_fail_no_agree_2b", "05 too many followers disconnect", 5.0, 4.0),
    test("test_concurrent_starts_2b", "06 concurrent Starts", 5.0, 1.0),
    test("test_rejoin_2b", "07 rejoin of partitioned leader", 5.0, 6.0),
    test("test_backup_2b", "08 leader backs up quickly", 5.0, 18.0),
    test("test_count_2b", "09 RPC counts", 5.0, 3.0),
    test("test_persist1_2c", "10 basic persistence", 5.0, 4.5),
    test("test_persist2_2c", "11 more persistence", 5.0, 18.0),
    test("test_persist3_2c", "12 leader and follower crash", 5.0, 2.5),
    test("test_figure8_2c", "13 Figure 8", 5.0, 31.0),
    test("test_unreliable_agree_2c", "14 unreliable agreement", 5.0, 4.0),
    test("test_figure8_unreliable_2c", "15 Figure 8 unreliable", 5.0, 38.0),
    test("test_reliable_churn_2c", "16 churn", 5.0, 17.0),
    test("test_unreliable_churn_2c", "17 unreliable churn", 5.0, 17.0),
];

static EXTRA_2: [Test; 11] = [
    extra("test_one_vote_per_term_extra", "x1 one vote per term", 30.0),
    extra("test_many_candidates_extra", "x2 many candidates", 30.0),
    extra("test_figure8_step_by_step_extra", "x3 Figure 8 step by step", 10.0),
    extra("test_late_appends_extra", "x4 late appends", 10.0),
    extra("test_stale_replies_extra", "x5 stale replies", 30.0),
    extra("test_stalled_leader_extra", "x6 stalled leader", 30.0),
    simulated("test_slow_elections_extra", "x7 slow elections", 5.0),
    simulated("test_timer_after_granted_vote_extra", "x8 timer after granted vote", 5.0),
    simulated("test_timer_after_denied_vote_extra", "x9 timer after denied vote", 5.0),
    simulated("test_timer_after_stale_append_extra", "x10 timer after stale append", 5.0),
    simulated("test_late_votes_extra", "x11 late votes", 5.0),
];

/// The last one is of 3B.
static EXTRA_3: [Test; 4] = [
    extra("test_append_outlives_its_leader_extra", "x1 append outlives its leader", 10.0),
    simulated("test_speed_extra", "x2 speed", 5.0),
    extra("test_any_majority_extra", "x3 any majority", 10.0),
    extra("test_crash_after_any_save_extra", "x4 crash after any save", 20.0),
];

static LAB_3: [Test; 23] = [
    long("test_basic_3a", "01 one client", 5.0, 16.0),
    long("test_concurrent_3a", "02 many clients", 5.0, 16.5),
    test("test_unreliable_3a", "03 unreliable net", 5.0, 18.5),
    test("test_unreliable_one_key_3a", "04 one key unreliable", 5.0, 3.5),
    test("test_one_partition_progress_in_majority_3a", "05 progress in majority", 5.0, 2.0),
    test("test_one_partition_no_progress_in_minority_3a", "06 no progress in minority", 5.0, 3.0),
    test("test_one_partition_completion_after_heal_3a", "07 completion after heal", 5.0, 4.0),
    long("test_many_partitions_one_client_3a", "08 partitions one client", 5.0, 23.5),
    long("test_many_partitions_many_clients_3a", "09 partitions many clients", 5.0, 24.0),
    long("test_persist_one_client_3a", "10 restarts one client", 2.5, 20.0),
    long("test_persist_concurrent_3a", "11 restarts many clients", 2.5, 21.0),
    test("test_persist_concurrent_unreliable_3a", "12 restarts unreliable", 2.5, 22.0),
    long("test_persist_partition_3a", "13 restarts partitions", 2.5, 28.0),
    test("test_persist_partition_unreliable_3a", "14 restarts partitions unreliable", 2.5, 29.0),
    test("test_persist_partition_unreliable_linearizable_3a", "15 linearizability", 2.5, 28.0),
    test("test_snapshot_rpc_3b", "16 InstallSnapshot RPC", 5.0, 2.5),
    test("test_snapshot_size_3b", "17 snapshot size", 5.0, 1.0),
    long("test_snapshot_recover_3b", "18 snapshots one client", 5.0, 19.5),
    long("test_snapshot_recover_many_clients_3b", "19 snapshots many clients", 5.0, 20.0),
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
        assert_eq!(sum(Part::Lab3A.tests()), 60.0);
        assert_eq!(sum(&Part::Lab3A.tests()[..9]), 45.0);
    }

    #[test]
    fn lab_3b_has_eight_tests_and_points_of_its_own() {
        assert_eq!((Part::Lab3B.tests().len(), sum(Part::Lab3B.tests())), (8, 40.0));
        assert_eq!((Part::Lab3.tests().len(), sum(Part::Lab3.tests())), (23, 100.0));
        for (part, end) in [(Part::Lab3A, "_3a"), (Part::Lab3B, "_3b")] {
            assert!(part.tests().iter().all(|test| test.function.ends_with(end)));
        }
    }

    #[test]
    fn own_points_are_as_many_as_there_are_tests() {
        assert_eq!(Part::Lab3B.points(Some(vec![1.0; 8])), Ok(vec![1.0; 8]));
        assert_eq!(Part::Lab3B.points(None), Ok(vec![5.0; 8]));
        for (part, tests) in [(Part::Lab3A, 15), (Part::Lab3B, 8), (Part::Lab3, 23), (Part::Lab2, 17)] {
            let error = part.points(Some(vec![1.0; 9])).unwrap_err();
            assert_eq!(error.to_string(), format!("--points needs {tests} numbers, not 9"));
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Part::Lab3B.points(Some(vec![wrong; 8])), Err(PointsError::Value));
        }
    }

    /// All tests that can be graded.
    fn all() -> impl Iterator<Item = &'static Test> {
        LAB_2.iter().chain(&EXTRA_2).chain(&LAB_3).chain(&EXTRA_3)
    }

    #[test]
    fn problem_names_are_such_as_autolab_takes() {
        for Test { problem, .. } in all() {
            assert!(problem.chars().all(|c| c.is_ascii_alphanumeric() || " _-".contains(c)), "{problem}");
        }
    }

    #[test]
    fn lab_2_has_seventeen_tests_and_a_hand_in_of_one_file() {
        let parts = [Part::Lab2A, Part::Lab2B, Part::Lab2C];
        let functions = |part: Part| part.tests().iter().map(|test| test.function);
        for (part, (count, end)) in parts.iter().zip([(2, "_2a"), (7, "_2b"), (8, "_2c")]) {
            assert!(functions(*part).all(|name| name.ends_with(end)));
            assert_eq!((part.tests().len(), part.lab()), (count, Lab::Two));
        }
        assert!(parts.into_iter().flat_map(functions).eq(functions(Part::Lab2)));
        assert_eq!(sum(Part::Lab2.tests()), 85.0);
        assert_eq!(Lab::Two.files().iter().map(|file| file.path).collect::<Vec<_>>(), ["raft/src/raft.rs"]);
        assert_eq!(Lab::Three.files().len(), 4);
    }

    /// The lists in the test binaries are the originals. Tests beyond the Go lab's end in `_extra`.
    #[test]
    fn every_test_of_the_go_lab_is_graded_and_every_other_one_can_be() {
        for (source, part) in [
            (include_str!("../../../raft/tests/test_test.rs"), Part::Lab2),
            (include_str!("../../../kvraft/tests/test_test.rs"), Part::Lab3),
        ] {
            let names = |tests: &'static [Test], simulated: bool| -> Vec<&str> {
                let these = tests.iter().filter(|test| test.is_simulated == simulated);
                these.map(|test| test.function).collect()
            };
            // A test stands in a list as its name and its function.
            let listed = |name: &&str| source.contains(&format!("(\"{name}\", {name})"));
            let (list, _) = source.split_once("\nconst TESTS: ").unwrap().1.split_once("\n];\n").unwrap();
            let in_list = list.split('"').skip(1).step_by(2);
            let (go, extra): (Vec<&str>, Vec<&str>) = in_list.partition(|name| !name.ends_with("_extra"));
            assert_eq!(go, names(part.tests(), false));
            assert_eq!(extra, names(part.extra_tests(), false));
            let simulated = names(part.extra_tests(), true);
            assert!(simulated.iter().all(listed) && simulated.iter().all(|name| !list.contains(name)));
            let functions = source.matches("\nfn test_").count();
            assert_eq!(functions, part.tests().len() + part.extra_tests().len());
        }
    }
}
