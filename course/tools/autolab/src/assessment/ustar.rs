//! Writes tar archives in the plain ustar format, without the name of an owner. Autolab imports no other format.

use std::fs;
use std::io;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// The time of files whose own times must not matter: the first of January 2026.
pub const TIME: u64 = 1_767_225_600;

/// An archive that is being written. Times are seconds since 1970.
pub struct Archive(Builder<Vec<u8>>);

impl Archive {
    pub fn new() -> Archive {
        Archive(Builder::new(Vec::new()))
    }

    pub fn folder(&mut self, name: &str, changed: u64) -> io::Result<()> {
        self.member(Path::new(&format!("{name}/")), EntryType::Directory, 0o755, &[], changed)
    }

    pub fn file(&mut self, name: &Path, content: &[u8], changed: u64) -> io::Result<()> {
        self.member(name, EntryType::Regular, 0o644, content, changed)
    }

    /// Adds all files below `folder`, in the order of their names, with the time [`TIME`].
    pub fn files_below(&mut self, folder: &Path) -> io::Result<()> {
        self.files_of(folder, Path::new(""))
    }

    fn files_of(&mut self, folder: &Path, below: &Path) -> io::Result<()> {
        let mut entries = fs::read_dir(folder.join(below))?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.files_of(folder, &name)?;
            } else {
                self.file(&name, &fs::read(entry.path())?, TIME)?;
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        name: &Path,
        kind: EntryType,
        mode: u32,
        content: &[u8],
        changed: u64,
    ) -> io::Result<()> {
        // `Builder::append_data` would, for a long name, add a member that is not in the ustar format.
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        header.set_mtime(changed);
        header.set_cksum();
        self.0.append(&header, content)
    }

    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.0.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_ustar_and_can_be_read() {
        let long = format!("lab3/{}/file", "long".repeat(30));
        let write = || {
            let mut tar = Archive::new();
            tar.folder("lab3", 7).unwrap();
            tar.file(Path::new(&long), b"text", 7).unwrap();
            tar.finish().unwrap()
        };
        let bytes = write();
        assert_eq!(&bytes[257..263], b"ustar\0");
        assert_eq!(bytes, write(), "the same input gives the same bytes");
        let names: Vec<String> = tar::Archive::new(&bytes[..])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["lab3/".to_string(), long.clone()]);
    }

    #[test]
    fn the_files_of_a_folder_are_sorted_and_all_have_one_time() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c", "a", "b/x"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let mut tar = Archive::new();
        tar.files_below(folder.path()).unwrap();
        let bytes = tar.finish().unwrap();
        let mut read = tar::Archive::new(&bytes[..]);
        let members: Vec<_> = read
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.path().unwrap().display().to_string(), entry.header().mtime().unwrap()))
            .collect();
        assert_eq!(members, ["a", "b/x", "c"].map(|name| (name.to_string(), TIME)));
    }
}
