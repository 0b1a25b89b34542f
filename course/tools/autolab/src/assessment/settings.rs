//! The assessment's settings, as Autolab imports them (`lab3.yml`).
//!
//! The text is written without a YAML library: serde's is not maintained any more, and the only values that vary are a name
//! that was checked, words of ours, numbers and dates.

use anyhow::{Context, Result};
use grade::lab::{Lab, Part, Test};
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// How many days after its start an assessment is due, unless the instructor edits the dates; and how many days late a
/// hand-in may be.
const DAYS: i32 = 21;
const LATE_DAYS: i32 = 3;

/// How many tests of 3A are full marks.
const GRADED: usize = 9;

/// What an instructor can choose, beside the tests.
pub struct Choices<'a> {
    /// The assessment's name, and the name of its image.
    pub name: &'a str,
    /// The part of the lab.
    pub part: Part,
    /// How many seconds a job may take.
    pub timeout: u64,
    /// The first day.
    pub today: Date,
    /// The course's time zone: a hand-in is due at the end of a day there.
    pub zone: TimeZone,
    /// The file of the archive that students download.
    pub handout: &'a str,
    /// The file of the archive that tells them what to do.
    pub writeup: &'a str,
}

/// The settings with these tests and their points.
pub fn yml(choices: &Choices<'_>, tests: &[(&'static Test, f64)]) -> Result<String> {
    let Choices { name, part, timeout, today, zone, handout, writeup } = choices;
    let mut problems = String::new();
    for (test, points) in tests {
        problems += &format!(
            "- name: {:?}\n  description: ''\n  max_score: {points:?}\n  optional: false\n",
            test.problem
        );
    }
    let display_name = match part.lab() {
        Lab::Two => "Lab 2: Raft",
        Lab::Three => "Lab 3: a fault-tolerant key/value service",
    };
    let description = match part {
        Part::Lab2A => "Tests 1 and 2: elections.",
        Part::Lab2B => "Tests 3 to 9: the log.",
        Part::Lab2C => "Tests 10 to 17: persistence.",
        Part::Lab2 => "Tests 1 and 2: elections. 3 to 9: the log. 10 to 17: persistence.",
        Part::Lab3A => "Tests 1 to 9 are full marks (45 points); 10 to 15 are extra credit (15 points).",
        Part::Lab3B => "Tests 16 to 23: the service with log compaction.",
        Part::Lab3 => "Tests 1 to 15: the service. 16 to 23: the same with log compaction.",
    };
    let start = today.at(0, 0, 0, 0);
    let due = today.checked_add(DAYS.days()).context("the due date")?.at(23, 59, 0, 0);
    let end = due.checked_add(LATE_DAYS.days()).context("the end date")?;
    let zoned = |time: DateTime| written(time, zone);
    let (start, due, end) = (zoned(start)?, zoned(due)?, zoned(end)?);
    let handin = part.lab().handin();
    Ok(format!(
        "---
general:
  name: {name}
  display_name: '{display_name}'
  description: '{description}'
  handin_filename: {handin}
  handin_directory: handin
  max_grace_days: 0
  handout: {handout}
  writeup: {writeup}
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

/// The assessment's Ruby module (`lab3.rb`). It says what full marks are: of 3A, what tests 1 to 9 are worth; of the other parts,
/// what all tests of the Go lab are worth. Without it, Autolab shows the sum of all points, those of the extra tests too. None: the
/// module could not have the assessment's name.
pub fn config(name: &str, part: Part, points: &[f64]) -> Option<String> {
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    let (graded, what) = match part {
        Part::Lab3A => (GRADED, "Tests 1 to 9 are full marks; the others are extra credit."),
        _ => (points.len(), "The tests of the Go lab are full marks."),
    };
    let full: f64 = points.iter().take(graded).sum();
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

  # {what}
  def max_score
    {full:?}
  end
end
"
    ))
}

/// As "2026-03-01 23:59:00 +0100": the offset says which instant is meant, whatever zone Autolab's server has.
fn written(time: DateTime, zone: &TimeZone) -> Result<String> {
    let time = zone.to_zoned_datetime(time).context("a date in the course's time zone")?;
    Ok(time.strftime("%Y-%m-%d %H:%M:%S %z").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use grade::{Extra, worth};
    use jiff::civil::date;

    fn choices(name: &'static str, part: Part, today: Date) -> Choices<'static> {
        let (timeout, handout, writeup) = (600, "lab.tar", "lab.md");
        Choices { name, part, timeout, today, zone: TimeZone::UTC, handout, writeup }
    }

    /// The tests of a part with their usual points.
    fn usual(part: Part, extra: Option<Extra>) -> Vec<(&'static Test, f64)> {
        worth(part, &part.points(None).unwrap(), extra)
    }

    #[test]
    fn the_settings_have_the_points_and_the_late_rule() {
        let text = yml(&choices("lab3", Part::Lab3A, date(2000, 2, 29)), &usual(Part::Lab3A, None)).unwrap();
        assert!(text.contains("  autograde_image: lab3\n  autograde_timeout: 600\n"), "{text}");
        let scores = text.lines().filter_map(|line| line.trim().strip_prefix("max_score: "));
        assert_eq!(scores.map(|score| score.parse::<f64>().unwrap()).sum::<f64>(), 60.0);
        assert_eq!(text.matches("- name: \"").count(), 15);
        assert!(text.contains("late_penalty:\n  kind: percent\n  value: 10.0\n"));
        // 21 days, and three more.
        assert!(text.contains("start_at: '2000-02-29 00:00:00 +0000'"), "{text}");
        assert!(text.contains("due_at: '2000-03-21 23:59:00 +0000'"), "{text}");
        assert!(text.contains("end_at: '2000-03-24 23:59:00 +0000'"), "{text}");
        assert!(text.contains("  handout: lab.tar\n  writeup: lab.md\n"), "{text}");
    }

    /// Summer time begins between the first day and the due date.
    #[test]
    fn dates_are_those_of_the_courses_zone() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let choices = Choices { zone, ..choices("lab3", Part::Lab3A, date(2026, 3, 10)) };
        let text = yml(&choices, &usual(Part::Lab3A, None)).unwrap();
        assert!(text.contains("start_at: '2026-03-10 00:00:00 +0100'"), "{text}");
        assert!(text.contains("due_at: '2026-03-31 23:59:00 +0200'"), "{text}");
    }

    #[test]
    fn full_marks_are_the_points_of_the_first_nine_tests() {
        let points = Part::Lab3A.points(None).unwrap();
        let text = config("lab_3a", Part::Lab3A, &points).unwrap();
        assert!(text.contains("module Lab3a\n") && text.contains("super(\"lab_3a\", course)"), "{text}");
        assert!(text.contains("  def max_score\n    45.0\n"), "{text}");
        assert_eq!(config("lab3-a", Part::Lab3A, &points), None);
        let text = config("lab2", Part::Lab2, &Part::Lab2.points(None).unwrap()).unwrap();
        assert!(text.contains("module Lab2\n") && text.contains("  def max_score\n    85.0\n"), "{text}");
    }

    #[test]
    fn lab_2_has_its_own_tests_and_hand_in_and_perhaps_extra_tests() {
        let extra = Some(Extra::Points(1.5));
        for (extra, count) in [(None, 17), (extra, 28)] {
            let text =
                yml(&choices("lab2", Part::Lab2, date(2026, 1, 1)), &usual(Part::Lab2, extra)).unwrap();
            assert!(text.contains("display_name: 'Lab 2: Raft'\n"), "{text}");
            assert!(text.contains("  handin_filename: lab2-handin.tar\n"), "{text}");
            assert_eq!(text.matches("- name: \"").count(), count);
            assert_eq!(text.matches("  max_score: 1.5\n").count(), count - 17);
        }
    }

    #[test]
    fn the_settings_have_the_tests_and_points_of_the_part() {
        let points = [7.0, 2.5, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0];
        let tests = worth(Part::Lab3B, &points, None);
        let text = yml(&choices("lab3b", Part::Lab3B, date(2026, 1, 1)), &tests).unwrap();
        assert!(text.contains("  autograde_image: lab3b\n"), "{text}");
        assert_eq!(text.matches("- name: \"").count(), 8);
        assert!(text.contains("\"16 InstallSnapshot RPC\"\n  description: ''\n  max_score: 7.0\n"), "{text}");
    }
}
