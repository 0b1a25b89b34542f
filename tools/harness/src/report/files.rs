//! Where pictures and logs are written, and how many of them are kept.

use super::{Outcome, log_file, page};
use crate::record;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How many seeds of a simulated test keep their pictures. Each seed has its own picture.
const SEEDS_KEPT: usize = 5;

/// The files of a test's report.
pub(crate) struct Files {
    pub(crate) log: PathBuf,
    pub(crate) picture: PathBuf,
}

/// A file that could not be written.
pub(crate) struct CannotWrite {
    path: PathBuf,
    source: std::io::Error,
}

impl fmt::Display for CannotWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write {}: {}", self.path.display(), self.source)
    }
}

/// Writes the log and the picture.
pub(crate) fn draw(outcome: &Outcome<'_>) -> Result<Files, CannotWrite> {
    let folder = folder()?;
    let name = match outcome.simulation {
        Some(replay) => {
            let of_test = format!("{}-seed-", outcome.test);
            remove_oldest(&folder, &of_test);
            format!("{of_test}{}", replay.seed)
        }
        None => outcome.test.to_string(),
    };
    let save = |ending: &str, text: String| {
        let path = folder.join(format!("{name}.{ending}"));
        match std::fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(source) => Err(CannotWrite { path, source }),
        }
    };
    let kept = record::kept();
    Ok(Files {
        log: save("log", log_file::text(outcome, &kept))?,
        picture: save("html", page::html(outcome, &kept))?,
    })
}

/// `target/pictures`, found from the test binary: cargo marks its target folder with CACHEDIR.TAG.
fn folder() -> Result<PathBuf, CannotWrite> {
    let program = std::env::current_exe().unwrap_or_default();
    let marked = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    let folder = marked.or(program.parent()).unwrap_or(Path::new(".")).join("pictures");
    match std::fs::create_dir_all(&folder) {
        Ok(()) => Ok(folder),
        Err(source) => Err(CannotWrite { path: folder, source }),
    }
}

/// Makes room in `folder` for one more seed of a test: removes the oldest seeds' pictures and logs. Other processes may
/// do the same at the same time; a file that cannot be removed stays.
fn remove_oldest(folder: &Path, of_test: &str) {
    let mut seeds: BTreeMap<String, (SystemTime, Vec<PathBuf>)> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((seed, _)) = name.strip_prefix(of_test).and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let Ok(written) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
        let (newest, files) = seeds.entry(seed.to_string()).or_insert((written, Vec::new()));
        *newest = written.max(*newest);
        files.push(entry.path());
    }
    let mut seeds: Vec<_> = seeds.into_values().collect();
    seeds.sort();
    let surplus = (seeds.len() + 1).saturating_sub(SEEDS_KEPT);
    for file in seeds.into_iter().take(surplus).flat_map(|(_, files)| files) {
        let _ = std::fs::remove_file(file);
    }
}
