//! Grades all hand-ins of a folder, several at a time.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt::Write;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Grades each `.tar` in `folder` with these options, each in a grader of its own, `jobs` at a time. Writes the output
/// of each grader to a file in `out`, and all scores to `out/scores.csv`.
pub fn grade(folder: &Path, out: &Path, jobs: usize, options: &[OsString]) -> Result<()> {
    let archives = archives(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    ensure!(!archives.is_empty(), "{} has no .tar in it", folder.display());
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let queue: Mutex<VecDeque<&PathBuf>> = Mutex::new(archives.iter().collect());
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(archive) = next(&queue) {
                    let (name, scores) = (name_of(archive), grade_one(archive, out, options));
                    match &scores {
                        Ok(scores) => println!("{name}: {} points", sum(scores)),
                        Err(why) => println!("{name}: no score, {why:#}"),
                    }
                    lock(&results).push((name, scores));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by(|a, b| a.0.cmp(&b.0));
    let table = out.join("scores.csv");
    fs::write(&table, csv(&results)).with_context(|| format!("cannot write {}", table.display()))?;
    match results.iter().filter(|(_, scores)| scores.is_err()).count() {
        0 => Ok(()),
        n => bail!("{n} of {} hand-ins have no score", results.len()),
    }
}

/// A function of its own, so that the queue is not locked while a hand-in is graded.
fn next<'a>(queue: &Mutex<VecDeque<&'a PathBuf>>) -> Option<&'a PathBuf> {
    lock(queue).pop_front()
}

fn archives(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            archives.push(path);
        }
    }
    archives.sort();
    Ok(archives)
}

fn name_of(archive: &Path) -> String {
    archive.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

type Scores = Vec<(String, f64)>;

fn grade_one(archive: &Path, out: &Path, options: &[OsString]) -> Result<Scores> {
    let log = out.join(name_of(archive) + ".txt");
    let graded = || -> io::Result<String> {
        let file = File::create(&log)?;
        Command::new(std::env::current_exe()?)
            .arg("handin")
            .arg(archive)
            .args(options)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .status()?;
        fs::read_to_string(&log)
    };
    let text = graded().with_context(|| format!("cannot run a grader that writes {}", log.display()))?;
    scores(&text).with_context(|| format!("see {}", log.display()))
}

/// The scores in the last line of a grader's output.
fn scores(text: &str) -> Option<Scores> {
    let line: Value = serde_json::from_str(text.lines().next_back()?).ok()?;
    line["scores"].as_object()?.iter().map(|(name, score)| Some((name.clone(), score.as_f64()?))).collect()
}

fn sum(scores: &Scores) -> f64 {
    scores.iter().map(|(_, score)| score).sum()
}

/// A line for each hand-in: its name, the sum of its points, and the points of each problem.
///
/// Written without a library: names are the only fields that need quotes.
fn csv(results: &[(String, Result<Scores>)]) -> String {
    let mut text = String::from("hand-in,points");
    let problems = results.iter().find_map(|(_, scores)| scores.as_ref().ok());
    problems.into_iter().flatten().for_each(|(name, _)| text += &format!(",{name}"));
    // Ignore errors: writing to a String does not fail.
    for (name, scores) in results {
        let _ = write!(text, "\n\"{}\"", name.replace('"', "\"\""));
        if let Ok(scores) = scores {
            let _ = write!(text, ",{}", sum(scores));
            scores.iter().for_each(|(_, score)| _ = write!(text, ",{score}"));
        }
    }
    text + "\n"
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_last_line() {
        let text = "{\"scores\":{\"a\":9}}\nthe time is up\n{\"scores\":{\"a\":5,\"b\":2.5}}\n";
        assert_eq!(scores(text), Some(vec![("a".to_string(), 5.0), ("b".to_string(), 2.5)]));
        assert_eq!(scores("{\"scores\":{\"a\":9}}\nmake: error\n"), None);
        assert_eq!(scores(""), None);
    }

    #[test]
    fn the_table_has_a_line_for_each_even_without_a_score() {
        let results = vec![
            ("anna".to_string(), Err(anyhow::anyhow!("see anna.txt"))),
            ("b \"x\"".to_string(), Ok(vec![("01 one".to_string(), 5.0), ("10 two".to_string(), 2.5)])),
        ];
        assert_eq!(csv(&results), "hand-in,points,01 one,10 two\n\"anna\"\n\"b \"\"x\"\"\",7.5,5,2.5\n");
    }
}
