//! What is graded: the fifteen titles of Lab 3A, and their points.

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

/// In the order in which they run.
pub const TITLES: [Title; 15] = [
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
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_points_of_which_forty_five_are_full_marks() {
        assert_eq!(TITLES.iter().map(|t| t.points).sum::<f64>(), 60.0);
        assert_eq!(TITLES[..9].iter().map(|t| t.points).sum::<f64>(), 45.0);
    }

    #[test]
    fn problem_names_are_such_as_autolab_takes() {
        for Title { problem, .. } in TITLES {
            assert!(problem.chars().all(|c| c.is_ascii_alphanumeric() || " _-".contains(c)), "{problem}");
        }
    }

    /// The test binary's own list is the truth. It has tests beyond the Go lab's, whose names say so: they earn nothing.
    #[test]
    fn every_title_of_the_go_lab_is_graded() {
        let source = include_str!("../../../kvraft/tests/test_test.rs");
        let (_, list) = source.split_once("titles::run(&[").unwrap();
        let (list, _) = list.split_once("])").unwrap();
        let names = list.split('"').skip(1).step_by(2);
        let names: Vec<&str> = names.filter(|name| !name.ends_with("_extra")).collect();
        assert_eq!(names, TITLES.map(|t| t.function));
    }
}
