//! The files that Autolab copies into each job, beside the hand-in: the job's Makefile, and autograde.tar with the
//! workspace, the grader and the sources of all dependencies.

use crate::ustar::{Archive, TIME};
use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use clap::ValueEnum;
use flate2::Compression;
use flate2::write::GzEncoder;
use grade::lab::Part;
use grade::workspace;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The path of the job's Makefile in the workspace.
const MAKEFILE: &str = "course/tools/autolab/autograde-Makefile";

/// The beginning of the line of this Makefile that takes options of `grade handin`, and of the one with the job's time.
const OPTIONS: &str = "OPTIONS =";
const SECONDS: &str = "SECONDS =";

/// The systems that a job may run on.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// What a job simulates.
#[derive(Clone, Copy, Default)]
pub struct Simulations {
    /// How many seeds of each test.
    pub seeds: u32,
    /// For how many seconds it hunts for bugs; None: not at all.
    pub hunt: Option<u64>,
    /// The points that are taken off if the hunt finds a bug.
    pub hunt_points: f64,
}

/// The job's Makefile, with the options that grade these tests, and with this many seconds until it prints the scores. Options
/// that an instructor has added come last: of an option that is given twice, the last one counts.
pub fn makefile(
    workspace: &Path,
    part: Part,
    points: &[f64],
    simulations: Simulations,
    seconds: u64,
) -> Result<String> {
    let path = workspace.join(MAKEFILE);
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {} (--workspace)", path.display()))?;
    let text = with_options(&text, part, points, simulations)?;
    with_value(&text, SECONDS, |_| seconds.to_string())
}

fn with_options(makefile: &str, part: Part, points: &[f64], simulations: Simulations) -> Result<String> {
    let word = part.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default();
    let points: Vec<String> = points.iter().map(f64::to_string).collect();
    let mut options = format!("--part {word} --points {}", points.join(","));
    let Simulations { seeds, hunt, hunt_points } = simulations;
    if seeds > 0 {
        options += &format!(" --seeds {seeds}");
    }
    if let Some(hunt) = hunt {
        options += &format!(" --hunt {hunt} --hunt-points {hunt_points}");
    }
    with_value(makefile, OPTIONS, |own| format!("{options} {own}").trim_end().to_string())
}

/// The Makefile with another value in the line that begins with `name`. `value` gets the value that is there.
fn with_value(makefile: &str, name: &str, value: impl Fn(&str) -> String) -> Result<String> {
    let mut is_there = false;
    let lines = makefile.lines().map(|line| match line.strip_prefix(name) {
        Some(own) => {
            is_there = true;
            format!("{name} {}\n", value(own.trim()))
        }
        None => format!("{line}\n"),
    });
    let text = lines.collect();
    ensure!(is_there, "{MAKEFILE} has no line that begins with {name:?}; put it back");
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

    #[test]
    fn the_job_has_the_tests_and_points_of_the_part() {
        let makefile = "# Options.\nOPTIONS =\n\ngrade:\n\tgrade handin $(OPTIONS)\n";
        let points = [7.0, 2.5, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0];
        let none = Simulations::default();
        let job = with_options(makefile, Part::B, &points, none).unwrap();
        assert!(job.contains("\nOPTIONS = --part 3B --points 7,2.5,0,5,5,5,5,5\n"), "{job}");
        let seeds = Simulations { seeds: 3, ..none };
        let job = with_options(makefile, Part::B, &points, seeds).unwrap();
        assert!(job.contains(" --points 7,2.5,0,5,5,5,5,5 --seeds 3\n"), "{job}");
        let both = Simulations { hunt: Some(60), hunt_points: 7.5, ..seeds };
        let job = with_options(makefile, Part::B, &points, both).unwrap();
        assert!(job.contains(" --seeds 3 --hunt 60 --hunt-points 7.5\n"), "{job}");
        let own = makefile.replace("OPTIONS =", "OPTIONS = --memory 512 --points 1,1");
        let job = with_options(&own, Part::B, &points, none).unwrap();
        assert!(job.contains(",5,5,5 --memory 512 --points 1,1\n"), "{job}");
        let error = with_options("grade:\n", Part::B, &points, none).unwrap_err();
        assert!(error.to_string().contains("OPTIONS"), "{error}");
    }

    #[test]
    fn the_workspaces_makefile_takes_options() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let job = makefile(&workspace, Part::A, &[1.0], Simulations::default(), 500).unwrap();
        assert!(job.contains("\nOPTIONS = --part 3A --points 1\n"), "{job}");
        assert!(job.contains("\nSECONDS = 500\n"), "{job}");
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
