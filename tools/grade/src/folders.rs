//! The folders of one grading: everything that it writes lies below one root.

use anyhow::{Context, Result};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// The work folders. A temporary root is removed when this is dropped.
pub struct Folders {
    root: PathBuf,
    /// The root, if it is temporary and still there.
    temporary_root: Mutex<Option<TempDir>>,
}

impl Folders {
    /// Makes the folders below `root`, which is emptied first; without a root, below a new temporary folder.
    pub fn make(root: Option<&Path>) -> Result<Folders> {
        let (root, temporary) = match root {
            Some(root) => (empty(root)?, None),
            None => {
                // Tests that run as another user must reach it.
                let mode = Permissions::from_mode(0o755);
                let made = tempfile::Builder::new().prefix("grade-").permissions(mode).tempdir();
                let made = made.context("cannot make a work folder; set TMPDIR or --work")?;
                (made.path().to_path_buf(), Some(made))
            }
        };
        // Landlock works on real paths, and /tmp is a link on some systems.
        let root = root.canonicalize().with_context(|| format!("cannot find {}", root.display()))?;
        let folders = Folders { root, temporary_root: Mutex::new(temporary) };
        for folder in [folders.home(), folders.temporary(), folders.target()] {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(folders)
    }

    /// The folder because of which another user cannot reach what lies in the folders; None if others can.
    pub fn closed(&self) -> Option<&Path> {
        let has_mode = |folder: &Path, bits: u32| {
            fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & bits == bits)
        };
        let needed = |folder| if folder == self.root { 0o005 } else { 0o001 };
        self.root.ancestors().find(|folder| !has_mode(folder, needed(*folder)))
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

    /// Removes a temporary root now: `std::process::exit` drops nothing.
    pub fn remove(&self) {
        let temporary = self.temporary_root.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Ignore an error: the result counts, and a leftover folder does no harm.
        let _ = temporary.map(TempDir::close);
    }
}

/// Makes the folder, or empties it.
fn empty(root: &Path) -> Result<PathBuf> {
    let emptied = || {
        let root = std::path::absolute(root)?;
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::create_dir_all(&root)?;
        Ok::<_, std::io::Error>(root)
    };
    emptied().with_context(|| format!("cannot empty the work folder {} (--work)", root.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_root_vanishes_and_a_named_one_stays() {
        let temporary = Folders::make(None).unwrap();
        let root = temporary.root().to_path_buf();
        assert!(root.join("home").is_dir());
        temporary.remove();
        assert!(!root.exists());

        let named = tempfile::tempdir().unwrap();
        fs::write(named.path().join("old"), "").unwrap();
        let folders = Folders::make(Some(named.path())).unwrap();
        drop(folders);
        assert!(named.path().join("home").is_dir() && !named.path().join("old").exists());
    }

    #[test]
    fn the_folder_that_others_cannot_enter_is_named() {
        let outer = tempfile::tempdir().unwrap();
        fs::set_permissions(outer.path(), Permissions::from_mode(0o755)).unwrap();
        let folders = Folders::make(Some(&outer.path().join("work"))).unwrap();
        assert_eq!(folders.closed(), None);
        fs::set_permissions(outer.path(), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(folders.closed(), Some(&*outer.path().canonicalize().unwrap()));
    }

    #[test]
    fn a_dropped_temporary_root_vanishes_too() {
        let folders = Folders::make(None).unwrap();
        let root = folders.root().to_path_buf();
        drop(folders);
        assert!(!root.exists());
    }
}
