//! Lays a hand-in over a pristine copy of the workspace.

use crate::archive::{FILES, Handin};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What of the workspace a hand-in is built with.
const PARTS: [&str; 7] =
    ["labgob", "labrpc", "linearizability", "raft", "kvraft", "tools/sim", "tools/harness"];

/// The grader itself.
const GRADER: &str = "tools/grade";

/// The folders of one grading: all that is written lies in them.
pub struct Folders {
    root: PathBuf,
    keep: bool,
}

impl Folders {
    /// Below `root`, which is emptied; without one, below a new folder, which is removed at the end.
    pub fn make(root: Option<&Path>) -> Result<Folders, String> {
        let (root, keep) = match root {
            Some(root) => (std::path::absolute(root).map_err(|e| e.to_string())?, true),
            None => {
                let number = std::process::id();
                (std::env::temp_dir().join(format!("grade-{number}-{:08x}", rand_suffix())), false)
            }
        };
        let made = || -> io::Result<Folders> {
            if root.exists() {
                fs::remove_dir_all(&root)?;
            }
            // /tmp is a link on some systems; confinement is by real paths.
            fs::create_dir_all(&root)?;
            let folders = Folders { root: root.canonicalize()?, keep };
            for folder in [folders.home(), folders.temporary(), folders.target()] {
                fs::create_dir_all(folder)?;
            }
            Ok(folders)
        };
        made().map_err(|e| format!("cannot make the work folder {}: {e}", root.display()))
    }

    /// Whether another user can reach what lies in them.
    pub fn are_open(&self) -> bool {
        let open =
            |folder: &Path| fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 0o005 == 0o005);
        let reachable =
            |folder: &Path| fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 0o001 == 0o001);
        open(&self.root) && self.root.ancestors().all(reachable)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Removes what is not to be kept. For an end of the process that drops nothing.
    pub fn remove(&self) {
        if !self.keep {
            // What cannot be removed stays; the result counts.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Something that is different each time: the clock will do.
fn rand_suffix() -> u32 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.subsec_nanos())
}

/// Copies what a hand-in needs of the workspace at `pristine`, without the four files; with the grader too, if wanted.
pub fn copy_pristine(pristine: &Path, to: &Path, with_grader: bool) -> Result<(), String> {
    let parts = if with_grader { [&PARTS[..], &[GRADER]].concat() } else { PARTS.to_vec() };
    let copied = || -> io::Result<()> {
        for part in &parts {
            copy_folder(&pristine.join(part), &to.join(part))?;
        }
        for file in ["Cargo.toml", "Cargo.lock"] {
            copy_file(&pristine.join(file), &to.join(file))?;
        }
        for place in FILES.iter().map(|(_, place)| to.join(place)) {
            // The workspace that comes with an assessment has none of them.
            if place.exists() {
                fs::remove_file(place)?;
            }
        }
        Ok(())
    };
    copied().map_err(|e| format!("cannot copy the workspace {}: {e}", pristine.display()))
}

/// Puts the four files in their places.
pub fn lay_over(handin: &Handin, workspace: &Path) -> Result<(), String> {
    for ((_, place), text) in FILES.iter().zip(&handin.texts) {
        fs::write(workspace.join(place), text).map_err(|e| format!("cannot write {place}: {e}"))?;
    }
    Ok(())
}

/// Copies plain files and folders; links are none of ours.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
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

/// With its time: cargo decides by it what is to be built anew.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let changed = fs::metadata(from)?.modified()?;
    fs::OpenOptions::new().write(true).open(to)?.set_modified(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_files_are_the_hand_ins_and_the_rest_is_pristine() {
        let folders = Folders::make(None).unwrap();
        let pristine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let to = folders.workspace();
        copy_pristine(&pristine, &to, false).unwrap();
        for (_, place) in *FILES {
            assert!(!to.join(place).exists(), "{place}");
        }
        let texts = ["a", "b", "c", "d"].map(str::to_string);
        lay_over(&Handin { texts, remarks: Vec::new() }, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("kvraft/src/server.rs")).unwrap(), "b");
        for crate_root in ["raft/src/lib.rs", "kvraft/src/lib.rs"] {
            let text = fs::read_to_string(to.join(crate_root)).unwrap();
            assert!(text.contains("#![forbid(unsafe_code)]"), "{crate_root}");
            assert_eq!(
                fs::metadata(to.join(crate_root)).unwrap().modified().unwrap(),
                fs::metadata(pristine.join(crate_root)).unwrap().modified().unwrap()
            );
        }
        drop(folders);
        assert!(!to.exists());
    }
}
