//! What is graded: the fifteen titles of Lab 3A, the eight of Lab 3B, or both, and their points.

use clap::ValueEnum;

/// One title of the lab.
pub struct Title {
    /// Its name in the test binary.
    pub function: &'static str,
    /// Its name on Autolab, which takes letters, digits, spaces, `_` and `-`.
    pub problem: &'static str,
    pub points: f64,
    /// How many seconds it takes when all is well, cleaning up included.
    pub seconds: f64,
}

const fn title(function: &'static str, problem: &'static str, points: f64, seconds: f64) -> Title {
    Title { function, problem, points, seconds }
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
    #[value(name = "both")]
    Both,
}

impl Part {
    /// In the order in which they run.
    pub fn titles(self) -> &'static [Title] {
        match self {
            Part::A => &TITLES[..LAB_3A],
            Part::B => &TITLES[LAB_3A..],
            Part::Both => &TITLES,
        }
    }

    /// What each title is worth: as `own` says, if anything.
    pub fn points(self, own: Option<Vec<f64>>) -> Result<Vec<f64>, String> {
        let titles = self.titles();
        let points = own.unwrap_or_else(|| titles.iter().map(|title| title.points).collect());
        if points.len() != titles.len() {
            return Err(format!("--points needs {} numbers, not {}", titles.len(), points.len()));
        }
        if points.iter().any(|points| !points.is_finite() || *points < 0.0) {
            return Err("points are numbers from 0 on".to_string());
        }
        Ok(points)
    }
}

/// How many of the titles are Lab 3A's; those of Lab 3B follow.
const LAB_3A: usize = 15;

static TITLES: [Title; 23] = [
    title("test_basic_3a", "01 one client", 5.0, 16.0),
    title("test_concurrent_3a", "02 many clients", 5.0, 16.5),
    title("test_unreliable_3a", "03 unreliable net", 5.0, 18.5),
    title("test_unreliable_one_key_3a", "04 one key unreliable", 5.0, 3.5),
    title("test_one_partition_progress_in_majority_3a", "05 progress in majority", 5.0, 2.0),
    title("test_one_partition_no_progress_in_minority_3a", "06 no progress in minority", 5.0, 3.0),
    title("test_one_partition_completion_after_heal_3a", "07 completion after heal", 5.0, 4.0),
    title("test_many_partitions_one_client_3a", "08 partitions one client", 5.0, 23.5),
    title("test_many_partitions_many_clients_3a", "09 partitions many clients", 5.0, 24.0),
    title("test_persist_one_client_3a", "10 restarts one client", 2.5, 20.0),
    title("test_persist_concurrent_3a", "11 restarts many clients", 2.5, 21.0),
    title("test_persist_concurrent_unreliable_3a", "12 restarts unreliable", 2.5, 22.0),
    title("test_persist_partition_3a", "13 restarts partitions", 2.5, 28.0),
    title("test_persist_partition_unreliable_3a", "14 restarts partitions unreliable", 2.5, 29.0),
    title("test_persist_partition_unreliable_linearizable_3a", "15 linearizability", 2.5, 28.0),
    title("test_snapshot_rpc_3b", "16 InstallSnapshot RPC", 5.0, 2.5),
    title("test_snapshot_size_3b", "17 snapshot size", 5.0, 1.0),
    title("test_snapshot_recover_3b", "18 snapshots one client", 5.0, 19.5),
    title("test_snapshot_recover_many_clients_3b", "19 snapshots many clients", 5.0, 20.0),
    title("test_snapshot_unreliable_3b", "20 snapshots unreliable net", 5.0, 16.5),
    title("test_snapshot_unreliable_recover_3b", "21 snapshots restarts unreliable", 5.0, 21.0),
    title(
        "test_snapshot_unreliable_recover_concurrent_partition_3b",
        "22 snapshots restarts partitions",
        5.0,
        28.0,
    ),
    title(
        "test_snapshot_unreliable_recover_concurrent_partition_linearizable_3b",
        "23 snapshots linearizability",
        5.0,
        27.0,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(titles: &[Title]) -> f64 {
        titles.iter().map(|t| t.points).sum()
    }

    #[test]
    fn lab_3a_has_sixty_points_of_which_forty_five_are_full_marks() {
        assert_eq!(sum(Part::A.titles()), 60.0);
        assert_eq!(sum(&Part::A.titles()[..9]), 45.0);
    }

    #[test]
    fn lab_3b_has_eight_titles_and_points_of_its_own() {
        assert_eq!((Part::B.titles().len(), sum(Part::B.titles())), (8, 40.0));
        assert_eq!((Part::Both.titles().len(), sum(Part::Both.titles())), (23, 100.0));
        for (part, end) in [(Part::A, "_3a"), (Part::B, "_3b")] {
            assert!(part.titles().iter().all(|title| title.function.ends_with(end)));
        }
    }

    #[test]
    fn own_points_are_as_many_as_there_are_titles() {
        assert_eq!(Part::B.points(Some(vec![1.0; 8])), Ok(vec![1.0; 8]));
        assert_eq!(Part::B.points(None), Ok(vec![5.0; 8]));
        for (part, titles) in [(Part::A, 15), (Part::B, 8), (Part::Both, 23)] {
            let error = part.points(Some(vec![1.0; 9])).unwrap_err();
            assert_eq!(error, format!("--points needs {titles} numbers, not 9"));
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Part::B.points(Some(vec![wrong; 8])).is_err());
        }
    }

    #[test]
    fn problem_names_are_such_as_autolab_takes() {
        for Title { problem, .. } in &TITLES {
            assert!(problem.chars().all(|c| c.is_ascii_alphanumeric() || " _-".contains(c)), "{problem}");
        }
    }

    /// The test binary's own list is the truth. It has tests beyond the Go lab's, whose names say so: they earn nothing.
    #[test]
    fn every_title_of_the_go_lab_is_graded() {
        let source = include_str!("../../../kvraft/tests/test_test.rs");
        let (_, list) = source.split_once("harness::run(&[").unwrap();
        let (list, _) = list.split_once("])").unwrap();
        let names = list.split('"').skip(1).step_by(2);
        let names: Vec<&str> = names.filter(|name| !name.ends_with("_extra")).collect();
        assert_eq!(names, Part::Both.titles().iter().map(|t| t.function).collect::<Vec<_>>());
    }
}
