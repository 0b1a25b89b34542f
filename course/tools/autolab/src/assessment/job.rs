//! The files that Autolab copies into each job, beside the hand-in: the job's Makefile, and autograde.tar with the
//! workspace, the grader and the sources of all dependencies.

use crate::ustar::{Archive, TIME};
use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use flate2::Compression;
use flate2::write::GzEncoder;
use grade::lab::Part;
use grade::{Clock, Extra, workspace};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The path of the job's Makefile in the workspace.
const MAKEFILE: &str = "course/tools/autolab/autograde-Makefile";

/// The beginnings of the lines of this Makefile with options of `grade handin`, with the job's time, and with the name of a
/// hand-in.
const OPTIONS: &str = "OPTIONS = ";
const SECONDS: &str = "SECONDS = ";
const HANDIN: &str = "HANDIN = ";

/// The systems that a job may run on.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// What a job runs, beside the tests of the Go lab.
pub struct Runs {
    /// Which time the tests run in.
    pub time: Clock,
    /// What the extra tests are for; None: they are not run.
    pub extra: Option<Extra>,
    /// How many seeds of each test it simulates.
    pub seeds: u32,
    /// How many seeds of each long test it simulates; None: as many as the grader does unless it is told.
    pub long_seeds: Option<u32>,
    /// For how many seconds it hunts for bugs; None: not at all.
    pub hunt: Option<u64>,
    /// The points that are taken off if the hunt finds a bug.
    pub hunt_points: f64,
}

impl Runs {
    /// How many times a test runs in real time.
    pub fn in_real_time(&self) -> usize {
        usize::from(self.time == Clock::Real)
    }
}

/// The job's Makefile, with the options that grade these tests, and with this many seconds until it prints the scores. Options
/// that an instructor has added come last: of an option that is given twice, the last one counts.
pub fn makefile(workspace: &Path, part: Part, points: &[f64], runs: &Runs, seconds: u64) -> Result<String> {
    let path = workspace.join(MAKEFILE);
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {} (--workspace)", path.display()))?;
    let text = with_options(&text, part, points, runs)?;
    let text = with_value(&text, HANDIN, |_| part.lab().handin().to_string())?;
    with_value(&text, SECONDS, |_| seconds.to_string())
}

fn with_options(makefile: &str, part: Part, points: &[f64], runs: &Runs) -> Result<String> {
    let options = options(part, points, runs);
    with_value(makefile, OPTIONS, |own| format!("{options} {own}").trim_end().to_string())
}

/// The options of `grade handin` that grade these tests.
pub fn options(part: Part, points: &[f64], runs: &Runs) -> String {
    let points: Vec<String> = points.iter().map(f64::to_string).collect();
    let mut options = format!("--part {} --points {}", part.word(), points.join(","));
    let Runs { time, extra, seeds, long_seeds, hunt, hunt_points } = *runs;
    if time == Clock::Simulated {
        options += " --time simulated";
    }
    if let Some(extra) = extra {
        options += &format!(" --extra {extra}");
    }
    if seeds > 0 {
        options += &format!(" --seeds {seeds}");
    }
    if let Some(long_seeds) = long_seeds {
        options += &format!(" --long-seeds {long_seeds}");
    }
    if let Some(hunt) = hunt {
        options += &format!(" --hunt {hunt} --hunt-points {hunt_points}");
    }
    options
}

/// The script or Makefile with another value in the line that begins with `name`, "NAME = " or "name=". `value` gets the value that
/// is there.
pub fn with_value(text: &str, name: &str, value: impl Fn(&str) -> String) -> Result<String> {
    let mut is_there = false;
    let lines = text.lines().map(|line| match line.strip_prefix(name.trim_end()) {
        Some(own) => {
            is_there = true;
            format!("{name}{}\n", value(own.trim()))
        }
        None => format!("{line}\n"),
    });
    let text = lines.collect();
    ensure!(is_there, "a line that begins with {:?} is missing; put it back", name.trim_end());
    Ok(text)
}

/// autograde.tar. It holds one file, lab.tar.gz, which holds the workspace without the four files. Autolab wants a plain
/// tar and copies it for every hand-in; its content is compressed to keep it small. The same workspace always gives the same
/// bytes: an image that was made from an archive fits each archive that is made later.
pub fn autograde_tar(workspace: &Path) -> Result<Vec<u8>> {
    let folder = tempfile::Builder::new().prefix("assessment-").tempdir();
    let folder = folder.context("cannot make a temporary folder; set TMPDIR")?;
    let lab = folder.path();
    workspace::copy_with_grader(workspace, lab)?;
    vendor(lab)?;
    thin_out(lab).context("cannot leave out the dependencies for other systems")?;
    let packed = || -> io::Result<Vec<u8>> {
        let mut tree = Archive::new();
        tree.files_below(lab)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&tree.finish()?)?;
        let mut tar = Archive::new();
        tar.file(Path::new("lab.tar.gz"), &gzip.finish()?, TIME)?;
        tar.finish()
    };
    packed().with_context(|| format!("cannot pack {}", lab.display()))
}

/// Copies the sources of all dependencies into `vendor`, where cargo will look for them.
fn vendor(lab: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["vendor", "--quiet", "vendor"])
        .current_dir(lab)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cannot start cargo; install Rust with rustup")?;
    ensure!(status.success(), "cargo vendor failed (see above); it needs the network");
    workspace::use_vendored_sources(lab, Path::new("vendor"))
}

/// Empties the dependencies that no build on Linux uses, which are most of the size. Cargo needs only their manifests.
fn thin_out(lab: &Path) -> Result<()> {
    let needed = needed_on_linux(lab)?;
    for dependency in fs::read_dir(lab.join("vendor"))? {
        let dependency = dependency?.path();
        if !needed.contains(&dependency) {
            empty(&dependency).with_context(|| format!("cannot empty {}", dependency.display()))?;
        }
    }
    Ok(())
}

/// Leaves the manifest and an empty library.
fn empty(dependency: &Path) -> Result<()> {
    for entry in fs::read_dir(dependency)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Some("Cargo.toml") => {}
            Some(".cargo-checksum.json") => {
                let mut checksums: Value = serde_json::from_str(&fs::read_to_string(entry.path())?)?;
                checksums["files"] = Value::Object(Map::new());
                fs::write(entry.path(), checksums.to_string())?;
            }
            _ if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
            _ => fs::remove_file(entry.path())?,
        }
    }
    fs::create_dir_all(dependency.join("src"))?;
    fs::write(dependency.join("src/lib.rs"), "")?;
    Ok(())
}

/// The folders of the dependencies that a build on Linux uses.
fn needed_on_linux(lab: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut needed = BTreeSet::new();
    for target in TARGETS {
        let options = ["--offline", "--filter-platform", target].map(str::to_string);
        let metadata = MetadataCommand::new().current_dir(lab).other_options(options).exec()?;
        // The graph has only what this target needs; the list of packages has all.
        let graph = metadata.resolve.as_ref().context("cargo metadata gives no graph")?;
        for node in &graph.nodes {
            needed.extend(metadata[&node.id].manifest_path.parent().map(PathBuf::from));
        }
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use grade::lab::Lab;

    /// Only the tests, in real time.
    fn none() -> Runs {
        Runs { time: Clock::Real, extra: None, seeds: 0, long_seeds: None, hunt: None, hunt_points: 0.0 }
    }

    #[test]
    fn the_job_has_the_tests_and_points_of_the_part() {
        let makefile = "# Options.\nOPTIONS =\n\ngrade:\n\tgrade handin $(OPTIONS)\n";
        let points = [7.0, 2.5, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0];
        let job = with_options(makefile, Part::Lab3B, &points, &none()).unwrap();
        assert!(job.contains("\nOPTIONS = --part 3B --points 7,2.5,0,5,5,5,5,5\n"), "{job}");
        let seeds = || Runs { seeds: 3, ..none() };
        let job = with_options(makefile, Part::Lab3B, &points, &seeds()).unwrap();
        assert!(job.contains(" --points 7,2.5,0,5,5,5,5,5 --seeds 3\n"), "{job}");
        let both = Runs { hunt: Some(60), hunt_points: 7.5, ..seeds() };
        let job = with_options(makefile, Part::Lab3B, &points, &both).unwrap();
        assert!(job.contains(" --seeds 3 --hunt 60 --hunt-points 7.5\n"), "{job}");
        let (time, extra) = (Clock::Simulated, Some(Extra::Points(1.5)));
        let all = Runs { time, extra, long_seeds: Some(2), ..seeds() };
        let job = with_options(makefile, Part::Lab3B, &points, &all).unwrap();
        assert!(job.contains(" --time simulated --extra 1.5 --seeds 3 --long-seeds 2\n"), "{job}");
        let own = makefile.replace("OPTIONS =", "OPTIONS = --memory 512 --points 1,1");
        let job = with_options(&own, Part::Lab3B, &points, &none()).unwrap();
        assert!(job.contains(",5,5,5 --memory 512 --points 1,1\n"), "{job}");
        let error = with_options("grade:\n", Part::Lab3B, &points, &none()).unwrap_err();
        assert!(error.to_string().contains("OPTIONS"), "{error}");
    }

    #[test]
    fn the_workspaces_makefile_takes_options() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let runs = none();
        let job = makefile(&workspace, Part::Lab3A, &[1.0], &runs, 500).unwrap();
        assert!(job.contains(&format!("\nHANDIN = {}\n", Lab::Three.handin())), "{job}");
        assert!(job.contains("\nOPTIONS = --part 3A --points 1\n"), "{job}");
        assert!(job.contains("\nSECONDS = 500\n"), "{job}");
        let lab_2 = makefile(&workspace, Part::Lab2, &[1.0], &runs, 500).unwrap();
        assert!(lab_2.contains("\nHANDIN = lab2-handin.tar\n") && lab_2.contains("--part 2 "), "{lab_2}");
    }

    #[test]
    fn an_emptied_dependency_keeps_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let dependency = folder.path();
        fs::create_dir(dependency.join("src")).unwrap();
        for (name, text) in [
            ("Cargo.toml", "[package]"),
            (".cargo-checksum.json", r#"{"files":{"src/lib.rs":"1"},"package":"2"}"#),
            ("src/lib.rs", "fn f() {}"),
            ("README.md", "much"),
        ] {
            fs::write(dependency.join(name), text).unwrap();
        }
        empty(dependency).unwrap();
        let read = |name: &str| fs::read_to_string(dependency.join(name)).unwrap_or_default();
        assert_eq!(read("Cargo.toml"), "[package]");
        assert_eq!(read(".cargo-checksum.json"), r#"{"files":{},"package":"2"}"#);
        assert_eq!((read("src/lib.rs"), dependency.join("README.md").exists()), (String::new(), false));
    }
}
