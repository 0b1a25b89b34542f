//! Writes what an instructor imports into Autolab: one tar with the assessment's settings, and with everything that is
//! needed to grade without a network.

use crate::deadlines::{self, DEADLINE};
use crate::lab::Part;
use crate::layout;
use clap::ValueEnum;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tar::{EntryType, Header};

/// Where the job's Makefile is in the workspace.
const AUTOGRADE_MAKEFILE: &str = "course/tools/autolab/autograde-Makefile";

/// The line of it that takes options of `grade handin`.
const OPTIONS: &str = "\nOPTIONS =\n";

/// How many days an assessment lasts when nobody says otherwise, and how many days late a hand-in may be.
const DAYS: i64 = 21;
const LATE_DAYS: i64 = 3;

const DAY: i64 = 24 * 60 * 60;

/// How late a job may start its grader.
const LATE_START: u64 = 30;

/// Writes the assessment `name` to `out`, with the titles of `part` and with own points, if there are any, and so many
/// simulated seeds of each title; `pristine` is the lab's workspace.
pub fn write(
    pristine: &Path,
    name: &str,
    part: Part,
    own: Option<Vec<f64>>,
    seeds: u32,
    out: &Path,
) -> Result<(), String> {
    if !name.starts_with(|c: char| c.is_ascii_alphabetic())
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    {
        return Err(format!("{name:?}: a name begins with a letter and has letters, digits, _ and - only"));
    }
    let points = part.points(own)?;
    let usual: Vec<f64> = part.titles().iter().map(|title| title.seconds).collect();
    let most = deadlines::most_seeds(Duration::from_secs(DEADLINE - LATE_START), &usual, 1);
    if seeds > most {
        return Err(format!("--seeds {seeds}: a job of Autolab has time for {most} of each of these titles"));
    }
    let makefile = pristine.join(AUTOGRADE_MAKEFILE);
    let makefile = fs::read_to_string(&makefile).map_err(|e| format!("{}: {e}", makefile.display()))?;
    let makefile = with_options(&makefile, part, &points, seeds)?;
    let folder = std::env::temp_dir().join(format!("grade-assessment-{}", std::process::id()));
    let written = autograde(pristine, &folder).and_then(|autograde| {
        let now = seconds_since_1970();
        let mut tar = Tar::default();
        let mut written = || -> io::Result<Vec<u8>> {
            tar.folder(name)?;
            tar.file(&format!("{name}/{name}.yml"), yml(name, part, &points, now).as_bytes(), now)?;
            tar.file(&format!("{name}/autograde-Makefile"), makefile.as_bytes(), now)?;
            tar.file(&format!("{name}/autograde.tar"), &autograde, now)?;
            tar.finish()
        };
        written().and_then(|bytes| fs::write(out, bytes)).map_err(|e| format!("{}: {e}", out.display()))
    });
    // What cannot be removed stays.
    let _ = fs::remove_dir_all(&folder);
    written
}

/// The job's Makefile, which grades these titles.
fn with_options(makefile: &str, part: Part, points: &[f64], seeds: u32) -> Result<String, String> {
    if !makefile.contains(OPTIONS) {
        return Err(format!("{AUTOGRADE_MAKEFILE} has no line {:?}", OPTIONS.trim()));
    }
    let word = part.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default();
    let points: Vec<String> = points.iter().map(f64::to_string).collect();
    let seeds = if seeds > 0 { format!(" --seeds {seeds}") } else { String::new() };
    let options = format!("\nOPTIONS = --part {word} --points {}{seeds}\n", points.join(","));
    Ok(makefile.replace(OPTIONS, &options))
}

fn seconds_since_1970() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() as i64)
}

/// autograde.tar: the workspace without the four files, the grader, and the sources of all dependencies.
fn autograde(pristine: &Path, folder: &Path) -> Result<Vec<u8>, String> {
    layout::copy_pristine(pristine, folder, true)?;
    let failed = |e: io::Error| format!("cannot gather the dependencies: {e}");
    vendor(folder)?;
    thin_out(folder).map_err(failed)?;
    let gathered = || -> io::Result<Vec<u8>> {
        let mut tree = Tar::default();
        tree.tree(folder, Path::new(""))?;
        // Autolab wants a plain tar, and copies it for every submission.
        let mut tar = Tar::default();
        tar.file("lab.tar.gz", &gzip(tree.finish()?)?, seconds_since_1970())?;
        tar.finish()
    };
    gathered().map_err(failed)
}

fn gzip(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut child =
        Command::new("gzip").args(["-9", "-n"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    // Beside the reading, so that neither waits for the other.
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| io::ErrorKind::BrokenPipe)??;
    if output.status.success() { Ok(output.stdout) } else { Err(io::Error::other("gzip failed")) }
}

fn vendor(folder: &Path) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["vendor", "--quiet", "vendor"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start cargo: {e}"))?;
    if !output.status.success() {
        return Err("cargo vendor failed".to_string());
    }
    let config = folder.join(".cargo");
    let text =
        "[source.crates-io]\nreplace-with = \"vendored\"\n\n[source.vendored]\ndirectory = \"vendor\"\n";
    fs::create_dir_all(&config)
        .and_then(|()| fs::write(config.join("config.toml"), text))
        .map_err(|e| format!("cannot write cargo's configuration: {e}"))
}

/// Cargo wants to see the manifest of every dependency, of those for other systems too; their sources, most of the
/// size, nobody needs.
fn thin_out(folder: &Path) -> io::Result<()> {
    let needed = needed_on_linux(folder)?;
    for dependency in fs::read_dir(folder.join("vendor"))? {
        let dependency = dependency?;
        if needed.contains(&dependency.path()) {
            continue;
        }
        for entry in fs::read_dir(dependency.path())? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Some("Cargo.toml") => {}
                Some(".cargo-checksum.json") => {
                    let text = fs::read_to_string(entry.path())?;
                    let mut checksums: Value = serde_json::from_str(&text)?;
                    checksums["files"] = Value::Object(serde_json::Map::new());
                    fs::write(entry.path(), checksums.to_string())?;
                }
                _ if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
                _ => fs::remove_file(entry.path())?,
            }
        }
        fs::create_dir_all(dependency.path().join("src"))?;
        fs::write(dependency.path().join("src/lib.rs"), "")?;
    }
    Ok(())
}

/// The folders of the dependencies that a build on Linux uses.
fn needed_on_linux(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut needed = BTreeSet::new();
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--offline", "--format-version", "1", "--filter-platform", target])
            .current_dir(folder)
            .stderr(Stdio::inherit())
            .output()?;
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        // The packages that the graph of this target has.
        let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
        let ids: BTreeSet<&str> = nodes.filter_map(|node| node["id"].as_str()).collect();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            if package["id"].as_str().is_some_and(|id| ids.contains(id))
                && let Some(manifest) = package["manifest_path"].as_str()
                && let Some(place) = Path::new(manifest).parent()
            {
                needed.insert(place.to_path_buf());
            }
        }
    }
    Ok(needed)
}

/// Autolab's settings.
fn yml(name: &str, part: Part, points: &[f64], now: i64) -> String {
    let mut problems = String::new();
    for (title, points) in part.titles().iter().zip(points) {
        problems += &format!(
            "- name: {:?}\n  description: ''\n  max_score: {points:?}\n  optional: false\n",
            title.problem
        );
    }
    let description = match part {
        Part::A => "Titles 1 to 9 are full marks (45 points); 10 to 15 are extra credit (15 points).",
        Part::B => "Titles 16 to 23: the service with log compaction.",
        Part::Both => "Titles 1 to 15: the service. 16 to 23: the same with log compaction.",
    };
    let (start, due) = (midnight(now), midnight(now) + DAYS * DAY + DAY - 60);
    format!(
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
  autograde_image: lab3
  autograde_timeout: 900
  release_score: true
late_penalty:
  kind: percent
  value: 10.0
dates:
  start_at: '{}'
  due_at: '{}'
  end_at: '{}'
",
        date(start),
        date(due),
        date(due + LATE_DAYS * DAY)
    )
}

fn midnight(time: i64) -> i64 {
    time - time.rem_euclid(DAY)
}

/// As "2026-03-01 23:59:00 UTC".
fn date(time: i64) -> String {
    let (mut day, second) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let leap = |year: i64| year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    let mut year = 1970;
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year}-{:02}-{:02} {hour:02}:{minute:02}:{:02} UTC", month + 1, day + 1, second % 60)
}

/// A tar archive in the plain ustar format, whose members belong to nobody.
#[derive(Default)]
struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    fn folder(&mut self, name: &str) -> io::Result<()> {
        self.member(&format!("{name}/"), EntryType::Directory, 0o755, &[], seconds_since_1970())
    }

    fn file(&mut self, name: &str, content: &[u8], changed: i64) -> io::Result<()> {
        self.member(name, EntryType::Regular, 0o644, content, changed)
    }

    fn member(
        &mut self,
        name: &str,
        kind: EntryType,
        mode: u32,
        content: &[u8],
        changed: i64,
    ) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        header.set_mtime(changed.unsigned_abs());
        header.set_cksum();
        self.bytes.write_all(header.as_bytes())?;
        self.bytes.write_all(content)?;
        let padding = content.len().next_multiple_of(512) - content.len();
        self.bytes.write_all(&[0; 512][..padding])
    }

    /// All files below `folder`, sorted, with their times: cargo decides by them what is to be built anew.
    fn tree(&mut self, folder: &Path, below: &Path) -> io::Result<()> {
        let mut entries = fs::read_dir(folder.join(below))?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.tree(folder, &name)?;
            } else {
                let changed = entry.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH);
                let changed = changed.map_or(0, |time| time.as_secs() as i64);
                self.file(&name.to_string_lossy(), &fs::read(entry.path())?, changed)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<Vec<u8>> {
        self.bytes.write_all(&[0; 1024])?;
        Ok(std::mem::take(&mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59:59 UTC");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }

    #[test]
    fn the_settings_have_the_points_and_the_late_rule() {
        let text = yml("lab3", Part::A, &Part::A.points(None).unwrap(), 951_782_400);
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
    fn the_settings_and_the_job_have_the_titles_and_points_of_the_part() {
        let makefile = "# Options.\nOPTIONS =\n\ngrade:\n\tgrade handin $(OPTIONS)\n";
        let points = [7.0, 2.5, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0];
        let text = yml("lab3b", Part::B, &points, 0);
        assert_eq!(text.matches("- name: \"").count(), 8);
        assert!(text.contains("\"16 InstallSnapshot RPC\"\n  description: ''\n  max_score: 7.0\n"), "{text}");
        let job = with_options(makefile, Part::B, &points, 0).unwrap();
        assert!(job.contains("\nOPTIONS = --part 3B --points 7,2.5,0,5,5,5,5,5\n"), "{job}");
        let job = with_options(makefile, Part::B, &points, 3).unwrap();
        assert!(job.contains(" --points 7,2.5,0,5,5,5,5,5 --seeds 3\n"), "{job}");
        assert!(with_options("grade:\n", Part::B, &points, 0).unwrap_err().contains("OPTIONS"));
    }

    #[test]
    fn names_are_such_as_autolab_takes() {
        for name in ["", "3lab", "a b", "../x", "lab/3"] {
            let nowhere = Path::new("/nonexistent");
            let error = write(nowhere, name, Part::A, None, 0, nowhere).unwrap_err();
            assert!(error.contains("begins with a letter"), "{error}");
        }
    }

    #[test]
    fn a_job_is_not_given_more_seeds_than_it_has_time_for() {
        let nowhere = Path::new("/nonexistent");
        let error = write(nowhere, "lab3", Part::Both, None, 1000, nowhere).unwrap_err();
        assert!(error.starts_with("--seeds 1000: a job of Autolab has time for "), "{error}");
    }

    #[test]
    fn archives_are_ustar_and_can_be_read() {
        let mut tar = Tar::default();
        tar.folder("lab3").unwrap();
        tar.file(&format!("lab3/{}/file", "long".repeat(30)), b"text", 7).unwrap();
        let bytes = tar.finish().unwrap();
        assert_eq!(&bytes[257..263], b"ustar\0");
        let names: Vec<String> = tar::Archive::new(&bytes[..])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["lab3/".to_string(), format!("lab3/{}/file", "long".repeat(30))]);
    }
}
