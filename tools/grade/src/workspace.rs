//! Copies the workspace that a hand-in is built in, and puts the files of the hand-in into it.

use crate::archive::Handin;
use crate::lab::FILES;
use anyhow::{Context, Result};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The workspace as the grader builds it: these folders and [`MANIFESTS`].
const FOLDERS: [&str; 9] = [
    "labgob",
    "labrpc",
    "linearizability",
    "raft",
    "kvraft",
    "tools/sim",
    "tools/lines",
    "tools/harness",
    "tools/hunt",
];

const MANIFESTS: [&str; 2] = ["Cargo.toml", "Cargo.lock"];

/// The grader's own sources; they include `tools/handin/files`.
const GRADER: [&str; 3] = ["tools/grade", "tools/handin", "tools/rules"];

/// Copies what a hand-in is built with from the workspace `from`, without the four files.
pub fn copy_pristine(from: &Path, to: &Path) -> Result<()> {
    copy(from, to, &FOLDERS)
}

/// As [`copy_pristine`], with the grader too.
pub fn copy_with_grader(from: &Path, to: &Path) -> Result<()> {
    copy(from, to, &[&FOLDERS[..], &GRADER].concat())
}

fn copy(from: &Path, to: &Path, folders: &[&str]) -> Result<()> {
    let copied = || -> io::Result<()> {
        for folder in folders {
            copy_folder(&from.join(folder), &to.join(folder))?;
        }
        for file in MANIFESTS {
            copy_file(&from.join(file), &to.join(file))?;
        }
        for path in FILES.iter().map(|file| to.join(file.path)) {
            // The workspace inside autograde.tar has none of them.
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    };
    copied()
        .with_context(|| format!("cannot copy {}; is it the lab's workspace (--workspace)?", from.display()))
}

/// Puts the files of a hand-in in their places.
pub(crate) fn lay_over(handin: &Handin, workspace: &Path) -> Result<()> {
    for (file, text) in &handin.files {
        write_file(workspace, file.path, text)?;
    }
    Ok(())
}

/// Puts four empty files in their places: cargo loads every member's manifest and looks for its sources.
pub(crate) fn lay_empty_files(workspace: &Path) -> Result<()> {
    FILES.iter().try_for_each(|file| write_file(workspace, file.path, ""))
}

fn write_file(workspace: &Path, path: &str, text: &str) -> Result<()> {
    let path = workspace.join(path);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Makes cargo take the sources of all dependencies from the folder `vendor`. A relative path starts at the workspace.
pub fn use_vendored_sources(workspace: &Path, vendor: &Path) -> Result<()> {
    let folder = workspace.join(".cargo");
    let text = format!(
        "[source.crates-io]\nreplace-with = \"vendored\"\n\n[source.vendored]\ndirectory = {:?}\n",
        vendor.display().to_string()
    );
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("config.toml"), text))
        .with_context(|| format!("cannot write {}/config.toml", folder.display()))
}

/// Copies plain files and folders; passes over links.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else if kind.is_file() {
            copy_file(&entry.path(), &to)?;
        }
    }
    Ok(())
}

/// Removes a folder, also if it holds folders of this user that nobody may enter.
pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    fs::remove_dir_all(folder).or_else(|_| {
        open_folders(folder)?;
        fs::remove_dir_all(folder)
    })
}

/// Lets this user enter and change all folders below this one. Links are not followed.
fn open_folders(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

/// A number that changes with the contents of the files of a workspace that no student hands in.
pub(crate) fn fingerprint(workspace: &Path) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    for folder in FOLDERS {
        hash_folder(&workspace.join(folder), workspace, &mut hasher)?;
    }
    Ok(hasher.finish())
}

fn hash_folder(folder: &Path, workspace: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            hash_folder(&path, workspace, hasher)?;
        } else if !FILES.iter().any(|file| path == workspace.join(file.path)) {
            path.strip_prefix(workspace).unwrap_or(&path).hash(hasher);
            fs::read(&path)?.hash(hasher);
        }
    }
    Ok(())
}

/// Copies a file and its time of change: cargo decides by that time what must be rebuilt.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let changed = fs::metadata(from)?.modified()?;
    fs::OpenOptions::new().write(true).open(to)?.set_modified(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_nobody_may_enter_are_removed() {
        let outer = tempfile::tempdir().unwrap();
        let place = outer.path().join("place");
        fs::create_dir_all(place.join("a/b")).unwrap();
        fs::write(place.join("a/b/file"), "").unwrap();
        for folder in [place.join("a/b"), place.join("a")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove_folder(&place).unwrap();
        assert!(!place.exists());
        assert!(remove_folder(&place).is_err());
    }

    #[test]
    fn a_fingerprint_changes_with_what_no_student_hands_in_whatever_its_time() {
        let pristine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = tempfile::tempdir().unwrap();
        copy_pristine(&pristine, folder.path()).unwrap();
        let before = fingerprint(folder.path()).unwrap();
        lay_empty_files(folder.path()).unwrap();
        assert_eq!(fingerprint(folder.path()).unwrap(), before);
        let changed = folder.path().join("tools/harness/src/lib.rs");
        let time = fs::metadata(&changed).unwrap().modified().unwrap();
        fs::write(&changed, "// other").unwrap();
        fs::OpenOptions::new().write(true).open(&changed).unwrap().set_modified(time).unwrap();
        assert_ne!(fingerprint(folder.path()).unwrap(), before);
    }

    #[test]
    fn the_four_files_are_the_hand_ins_and_the_rest_is_pristine() {
        let folder = tempfile::tempdir().unwrap();
        let pristine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let to = folder.path();
        copy_pristine(&pristine, to).unwrap();
        for file in &*FILES {
            assert!(!to.join(file.path).exists(), "{file:?}");
        }
        let files = FILES.iter().zip(["a", "b", "c", "d"].map(str::to_string)).collect();
        lay_over(&Handin { files, remarks: Vec::new() }, to).unwrap();
        assert_eq!(fs::read_to_string(to.join("kvraft/src/server.rs")).unwrap(), "b");
        for crate_root in ["raft/src/lib.rs", "kvraft/src/lib.rs"] {
            let text = fs::read_to_string(to.join(crate_root)).unwrap();
            assert!(text.contains("#![forbid(unsafe_code)]"), "{crate_root}");
            assert_eq!(
                fs::metadata(to.join(crate_root)).unwrap().modified().unwrap(),
                fs::metadata(pristine.join(crate_root)).unwrap().modified().unwrap()
            );
        }
    }

    /// A path dependency that is missing in the lists above, for example, fails here.
    #[test]
    fn cargo_can_load_the_copies() {
        let pristine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (copy, last) in [
            (copy_pristine as fn(&Path, &Path) -> Result<()>, "tools/harness"),
            (copy_with_grader, "tools/grade"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            copy(&pristine, folder.path()).unwrap();
            lay_empty_files(folder.path()).unwrap();
            let loaded = cargo_metadata::MetadataCommand::new()
                .current_dir(folder.path())
                .no_deps()
                .other_options(["--offline".to_string()])
                .exec()
                .unwrap();
            assert!(
                loaded
                    .packages
                    .iter()
                    .any(|package| package.manifest_path.ends_with(format!("{last}/Cargo.toml")))
            );
        }
    }

    /// Whatever the grader's sources include from other folders must be in autograde.tar.
    #[test]
    fn the_copy_with_the_grader_has_all_that_its_sources_include() {
        let folder = tempfile::tempdir().unwrap();
        copy_with_grader(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), folder.path()).unwrap();
        let mut included = 0;
        let mut places = vec![folder.path().join("tools/grade/src")];
        while let Some(place) = places.pop() {
            if place.is_dir() {
                places.extend(fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = fs::read_to_string(&place).unwrap();
            for rest in text.split("include_str!(\"").skip(1) {
                let path = rest.split('"').next().unwrap();
                assert!(place.with_file_name(path).is_file(), "{path} is missing");
                included += 1;
            }
        }
        assert!(included > 0);
    }
}
