//! The Go side: finds the lab in a folder, and builds the tests of one package.

use crate::measure::Command;
use crate::plan::{Part, Test};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process;

/// The test program of a Go package.
pub(crate) struct GoTests {
    program: PathBuf,
    /// The package's folder, in which Go runs its tests.
    dir: PathBuf,
    /// The version of Go.
    pub(crate) version: String,
}

impl GoTests {
    pub(crate) fn command(&self, test: &Test) -> Command {
        let run = format!("-test.run=^{}$", test.go);
        let command = vec![self.program.display().to_string(), run, "-test.timeout=300s".to_string()];
        Command { command, dir: Some(self.dir.clone()) }
    }
}

/// The folder of the packages, and the environment in which Go finds them.
struct Layout {
    base: PathBuf,
    env: Vec<(&'static str, String)>,
}

/// Finds the packages: in the folder itself, in its `src`, or in the `src` of one folder in it.
fn find(lab: &Path) -> Result<Layout> {
    let lab =
        lab.canonicalize().with_context(|| format!("cannot open the Go lab's folder {}", lab.display()))?;
    let mut places = vec![lab.clone(), lab.join("src")];
    if let Ok(entries) = std::fs::read_dir(&lab) {
        places.extend(entries.flatten().map(|entry| entry.path().join("src")));
    }
    let has_lab = |place: &PathBuf| {
        ["labrpc/labrpc.go", "raft/config.go", "kvraft/test_test.go"]
            .iter()
            .all(|file| place.join(file).is_file())
    };
    let Some(base) = places.into_iter().find(has_lab) else {
        bail!(
            "{} is not a Go lab: it has no src/labrpc/labrpc.go, src/raft/config.go and src/kvraft/test_test.go. \
             Give the folder that has src",
            lab.display()
        );
    };
    let has_module = base.ancestors().take(3).any(|folder| folder.join("go.mod").is_file());
    if has_module {
        return Ok(Layout {
            base,
            env: vec![("GO111MODULE", "on".to_string()), ("GOFLAGS", "-mod=mod".to_string())],
        });
    }
    let (Some(parent), true) = (base.parent(), base.ends_with("src")) else {
        bail!("{} has neither a go.mod nor the name src, so Go cannot find its packages", base.display());
    };
    let gopath = parent.display().to_string();
    Ok(Layout { base, env: vec![("GO111MODULE", "off".to_string()), ("GOPATH", gopath)] })
}

/// Builds the tests of the part's package. Nothing is written into the lab's folder.
pub(crate) fn build(lab: &Path, part: Part, work: &Path) -> Result<GoTests> {
    let Layout { base, env } = find(lab)?;
    let version = run_go(&["version"], work, &[])?;
    let dir = base.join(part.package());
    let program = work.join(format!("go-{}.test", part.package()));
    let mut args =
        vec!["test".to_string(), "-c".into(), "-vet=off".into(), "-o".into(), program.display().to_string()];
    if let Some((name, text)) = part.extra() {
        args.push(format!("-overlay={}", overlay(&dir, name, text, work)?.display()));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run_go(&args, &dir, &env)?;
    if !program.is_file() {
        bail!("go test -c in {} built nothing: are its files named *_test.go?", dir.display());
    }
    Ok(GoTests { program, dir, version: version.trim().trim_start_matches("go version ").to_string() })
}

/// Adds a file to the package without writing into its folder. The file's package line becomes that of the package.
fn overlay(dir: &Path, name: &str, text: &str, work: &Path) -> Result<PathBuf> {
    let tests = dir.join("test_test.go");
    let source =
        std::fs::read_to_string(&tests).with_context(|| format!("cannot read {}", tests.display()))?;
    let package = source.lines().find(|line| line.starts_with("package "));
    let package = package.with_context(|| format!("{} has no package line", tests.display()))?;
    let text = text.replacen("package lab", package, 1);
    let (file, json) = (work.join(name), work.join("overlay.json"));
    let replace = serde_json::json!({ "Replace": { dir.join(name).display().to_string(): file } });
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    std::fs::write(&json, replace.to_string()).with_context(|| format!("cannot write {}", json.display()))?;
    Ok(json)
}

fn run_go(args: &[&str], dir: &Path, env: &[(&str, String)]) -> Result<String> {
    let mut command = process::Command::new("go");
    command.args(args).current_dir(dir).envs(env.iter().map(|(name, value)| (name, value)));
    let output = match command.output() {
        Ok(output) => output,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => bail!(
            "go is not found: install Go (https://go.dev/dl, or the package golang-go), and add its folder to PATH"
        ),
        Err(e) => return Err(e).context("cannot run go"),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    bail!("go {} failed in {}:\n{}", args.join(" "), dir.display(), String::from_utf8_lossy(&said).trim_end())
}
