//! Bounds what a test may leave on the disk. The system limits the size of each file alone, and not their number.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(100);

/// How much a folder may hold.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes on the disk. A hole in a file takes none.
    pub bytes: u64,
    /// Files and folders.
    pub files: u64,
}

/// Many times what any test writes, and much less than a disk has.
pub const ROOM: Room = Room { bytes: 1 << 30, files: 100_000 };

/// Looks at a folder while a test may write to it.
pub struct Watch<'a> {
    folder: &'a Path,
    looked: Cell<Instant>,
}

impl<'a> Watch<'a> {
    pub fn new(folder: &'a Path) -> Watch<'a> {
        Watch { folder, looked: Cell::new(Instant::now()) }
    }

    /// Why the test must end, if it must. Looks at the folder now and then only.
    pub fn objection(&self) -> Option<String> {
        if self.looked.get().elapsed() < INTERVAL {
            return None;
        }
        let objection = objection(self.folder, ROOM);
        // A look at many files takes long.
        self.looked.set(Instant::now());
        objection
    }
}

/// What is wrong with what a folder holds, if anything is.
fn objection(folder: &Path, room: Room) -> Option<String> {
    let mut left = room;
    let mut folders: Vec<PathBuf> = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        match take(&folder, &mut left, &mut folders) {
            Ok(true) => {}
            Ok(false) => {
                return Some(format!(
                    "it may write {} MiB in at most {} files, and has written more",
                    room.bytes >> 20,
                    room.files
                ));
            }
            // The test may have removed it meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Some(format!("it has made a folder that cannot be looked into: {e}")),
        }
    }
    None
}

/// Takes what a folder holds from what is left, without the folders in it, which it adds to `folders`. False: there is not enough.
fn take(folder: &Path, left: &mut Room, folders: &mut Vec<PathBuf>) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Of a link itself, not of what it names.
        let data = match entry.metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            data => data?,
        };
        if data.is_dir() {
            folders.push(entry.path());
        }
        // The system counts in blocks of 512 bytes, whatever the disk's own are.
        let rest = left.bytes.checked_sub(data.blocks() * 512).zip(left.files.checked_sub(1));
        let Some((bytes, files)) = rest else { return Ok(false) };
        *left = Room { bytes, files };
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn blocks_and_files_of_all_folders_count_and_holes_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let objects = |kib: u64, files| objection(place, Room { bytes: kib << 10, files }).is_some();
        assert!(!objects(0, 0));
        fs::create_dir_all(place.join("a/b")).unwrap();
        for (file, kib) in [("one", 64), ("a/two", 64), ("a/b/three", 64)] {
            fs::write(place.join(file), vec![1; kib << 10]).unwrap();
        }
        assert!(objects(191, 100) && !objects(300, 100));
        // Three files and two folders.
        assert!(objects(300, 4) && !objects(300, 5));
        fs::File::create(place.join("hole")).unwrap().set_len(1 << 30).unwrap();
        symlink("/usr", place.join("link")).unwrap();
        assert!(!objects(300, 7), "{:?}", objection(place, Room { bytes: 300 << 10, files: 7 }));
    }

    #[test]
    fn the_objection_says_what_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), [1; 5000]).unwrap();
        assert_eq!(
            objection(folder.path(), Room { bytes: 0, ..ROOM }).unwrap(),
            "it may write 0 MiB in at most 100000 files, and has written more"
        );
        fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(objection(folder.path(), ROOM), None);
    }
}
