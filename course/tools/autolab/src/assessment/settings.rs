//! The assessment's settings, as Autolab imports them (`lab3.yml`).
//!
//! The text is written without a YAML library: serde's is not maintained any more, and the only values that vary are a name
//! that was checked, words of ours, numbers and dates.

use anyhow::{Context, Result};
use grade::lab::Part;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};

/// How many days after its start an assessment is due, unless the instructor edits the dates; and how many days late a
/// hand-in may be.
const DAYS: i32 = 21;
const LATE_DAYS: i32 = 3;

/// How many tests of 3A are full marks.
const GRADED: usize = 9;

/// Times are UTC; Autolab shows them in the course's zone.
pub fn yml(name: &str, part: Part, points: &[f64], timeout: u64, today: Date) -> Result<String> {
    let mut problems = String::new();
    for (test, points) in part.tests().iter().zip(points) {
        problems += &format!(
            "- name: {:?}\n  description: ''\n  max_score: {points:?}\n  optional: false\n",
            test.problem
        );
    }
    let description = match part {
        Part::A => "Tests 1 to 9 are full marks (45 points); 10 to 15 are extra credit (15 points).",
        Part::B => "Tests 16 to 23: the service with log compaction.",
        Part::Both => "Tests 1 to 15: the service. 16 to 23: the same with log compaction.",
    };
    let start = today.at(0, 0, 0, 0);
    let due = today.checked_add(DAYS.days()).context("the due date")?.at(23, 59, 0, 0);
    let end = due.checked_add(LATE_DAYS.days()).context("the end date")?;
    let [start, due, end] = [start, due, end].map(written);
    Ok(format!(
        "---
general:
  name: {name}
  display_name: 'Lab 3: a fault-tolerant key/value service'
  description: '{description}'
  handin_filename: lab3-handin.tar
  handin_directory: handin
  max_grace_days: 0
  handout: ''
  writeup: ''
  max_submissions: -1
  disable_handins: false
  max_size: 5
  category_name: Lab
  group_size: 1
  github_submission_enabled: false
  disable_network: true
problems:
{problems}autograder:
  autograde_image: {name}
  autograde_timeout: {timeout}
  release_score: true
late_penalty:
  kind: percent
  value: 10.0
dates:
  start_at: '{start}'
  due_at: '{due}'
  end_at: '{end}'
"
    ))
}

/// The assessment's Ruby module (`lab3.rb`). It says what full marks are: what tests 1 to 9 are worth. Without it, Autolab shows
/// the sum of all points. None: full marks are that sum, or the module could not have the assessment's name.
pub fn config(name: &str, part: Part, points: &[f64]) -> Option<String> {
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if part != Part::A || !is_name {
        return None;
    }
    let full: f64 = points.iter().take(GRADED).sum();
    // Rails makes the module's name of the assessment's: lab_3a is Lab3a.
    let module: String = name
        .split('_')
        .map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or_default();
            first.to_ascii_uppercase() + rest
        })
        .collect();
    Some(format!(
        "require \"AssessmentBase.rb\"

module {module}
  include AssessmentBase

  def assessmentInitialize(course)
    super(\"{name}\", course)
    @problems = []
  end

  # Tests 1 to 9 are full marks; the others are extra credit.
  def max_score
    {full:?}
  end
end
"
    ))
}

/// As "2026-03-01 23:59:00 UTC".
fn written(time: DateTime) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn the_settings_have_the_points_and_the_late_rule() {
        let text = yml("lab3", Part::A, &Part::A.points(None).unwrap(), 600, date(2000, 2, 29)).unwrap();
        assert!(text.contains("  autograde_image: lab3\n  autograde_timeout: 600\n"), "{text}");
        let scores = text.lines().filter_map(|line| line.trim().strip_prefix("max_score: "));
        assert_eq!(scores.map(|score| score.parse::<f64>().unwrap()).sum::<f64>(), 60.0);
        assert_eq!(text.matches("- name: \"").count(), 15);
        assert!(text.contains("late_penalty:\n  kind: percent\n  value: 10.0\n"));
        // 21 days, and three more.
        assert!(text.contains("start_at: '2000-02-29 00:00:00 UTC'"), "{text}");
        assert!(text.contains("due_at: '2000-03-21 23:59:00 UTC'"), "{text}");
        assert!(text.contains("end_at: '2000-03-24 23:59:00 UTC'"), "{text}");
    }

    #[test]
    fn full_marks_are_the_points_of_the_first_nine_tests() {
        let points = Part::A.points(None).unwrap();
        let text = config("lab_3a", Part::A, &points).unwrap();
        assert!(text.contains("module Lab3a\n") && text.contains("super(\"lab_3a\", course)"), "{text}");
        assert!(text.contains("  def max_score\n    45.0\n"), "{text}");
        assert_eq!(config("lab3-a", Part::A, &points), None);
        assert_eq!(config("lab3", Part::Both, &points), None);
    }

    #[test]
    fn the_settings_have_the_tests_and_points_of_the_part() {
        let points = [7.0, 2.5, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0];
        let text = yml("lab3b", Part::B, &points, 900, date(2026, 1, 1)).unwrap();
        assert!(text.contains("  autograde_image: lab3b\n"), "{text}");
        assert_eq!(text.matches("- name: \"").count(), 8);
        assert!(text.contains("\"16 InstallSnapshot RPC\"\n  description: ''\n  max_score: 7.0\n"), "{text}");
    }
}
