//! Reads a hand-in: a plain tar archive with the files that a student writes, and nothing else.
//!
//! Nothing is unpacked to disk. The archive is read in memory, and the result is the text of files whose names the
//! grader knows: no name in the archive ever becomes a path.

use crate::lab::{Lab, StudentFile};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tar::{Archive, Entry, EntryType};

/// How many bytes one file may have.
const LARGEST_FILE: u64 = 1 << 20;

/// How many bytes the archive may have.
const LARGEST_ARCHIVE: u64 = 4 << 20;

/// Formats that are often taken for tar, by their first bytes.
const OTHER_FORMATS: [(&[u8], &str); 10] = [
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"Rar!", "rar"),
    (b"\x1f\x9d", "compress (.Z)"),
    (b"\x04\x22\x4d\x18", "lz4"),
];

/// What a student handed in.
#[derive(Debug)]
pub struct Handin {
    /// Its files and their texts.
    pub files: Vec<(&'static StudentFile, String)>,
    /// What else the archive holds; the grader ignores it.
    pub remarks: Vec<String>,
}

impl Handin {
    /// The first rule for hand-ins that it breaks.
    pub fn violation(&self) -> Option<rules::Violation> {
        self.files.iter().find_map(|(file, text)| rules::check(file.name, text))
    }
}

/// Why an archive is refused: one sentence for the student.
///
/// The names come from the archive and may hold anything. They are shown with `{:?}`, which escapes all characters that a
/// terminal would obey.
#[derive(Debug)]
pub enum ArchiveError {
    Unreadable(PathBuf, io::Error),
    NotAFile(PathBuf),
    Empty,
    ArchiveTooLarge,
    OtherFormat(&'static str),
    NoTar,
    /// Damaged at or after the member of this name.
    Damaged(String),
    Twice(String),
    Absolute(String),
    LeadsOut(String),
    /// A member that is no plain file, and what it is.
    Special(String, &'static str),
    InFolder(String),
    Unknown(String, Lab),
    /// It is a hand-in of the other lab than this one, which is graded.
    OtherLab(Lab),
    FileTooLarge(String, u64),
    /// A file that is no UTF-8 text, and the line of the first wrong byte.
    NotText(String, usize),
    Missing(Vec<&'static str>),
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchiveError::Unreadable(path, e) => write!(f, "{} cannot be read: {e}.", path.display()),
            ArchiveError::NotText(name, line) => {
                write!(f, "{name:?} is not UTF-8 text (line {line}); save it as UTF-8.")
            }
            ArchiveError::NotAFile(path) => write!(f, "{} is not a file.", path.display()),
            ArchiveError::Empty => f.write_str("The archive is empty: it has no bytes."),
            ArchiveError::ArchiveTooLarge => {
                let most = LARGEST_ARCHIVE >> 20;
                write!(f, "The archive is larger than {most} MiB; hand in your source files only.")
            }
            ArchiveError::OtherFormat(format) => {
                write!(f, "The archive is a {format} file, not a plain tar.")
            }
            ArchiveError::NoTar => f.write_str("The file is not a tar archive."),
            ArchiveError::Damaged(name) => {
                write!(f, "The archive is damaged or cut off at or after {name:?}; upload it again.")
            }
            ArchiveError::Twice(name) => write!(f, "The archive has {name:?} twice."),
            ArchiveError::Absolute(name) => {
                write!(f, "The archive has {name:?}, an absolute path; it must hold plain names only.")
            }
            ArchiveError::LeadsOut(name) => {
                write!(
                    f,
                    "The archive has {name:?}, a path with \"..\" in it; it must hold plain names only."
                )
            }
            ArchiveError::Special(name, kind) => {
                write!(f, "The archive has {name:?}, which is {kind}, not a plain file.")
            }
            ArchiveError::InFolder(name) => {
                write!(f, "The archive has {name:?}, which is in a folder; the archive must hold no folders.")
            }
            ArchiveError::Unknown(name, lab) => {
                write!(f, "The archive has {name:?}; it must hold only {}.", names(*lab))
            }
            ArchiveError::OtherLab(graded @ Lab::Two) => write!(
                f,
                "This is a hand-in of Lab 3, and Lab 2 is graded: the archive must hold only {}.",
                names(*graded)
            ),
            ArchiveError::OtherLab(graded @ Lab::Three) => write!(
                f,
                "This is a hand-in of Lab 2, and Lab 3 is graded: the archive must hold {}.",
                names(*graded)
            ),
            ArchiveError::FileTooLarge(name, size) => {
                write!(
                    f,
                    "{name:?} has {size} bytes; a source file may have at most {} MiB.",
                    LARGEST_FILE >> 20
                )
            }
            ArchiveError::Missing(names) => write!(f, "The archive lacks {}.", names.join(", ")),
        }
    }
}

/// The names of a hand-in's files: "a, b, c and d".
fn names(lab: Lab) -> String {
    let names: Vec<&str> = lab.files().iter().map(|file| file.name).collect();
    match &names[..] {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}

impl std::error::Error for ArchiveError {}

impl ArchiveError {
    /// True if there is nothing that could be graded: whoever started the grader has named another file.
    pub fn is_missing(&self) -> bool {
        matches!(self, ArchiveError::Unreadable(..) | ArchiveError::NotAFile(_))
    }

    /// What is wrong with a hand-in of this lab, and how to mend it.
    pub fn advice(&self, lab: Lab) -> String {
        match self {
            ArchiveError::Unreadable(..) | ArchiveError::NotText(..) => self.to_string(),
            _ => format!("{self} Pack it with `{}`.", lab.pack_command()),
        }
    }
}

/// Reads the archive at `path`, a hand-in of `lab`.
pub fn read(path: &Path, lab: Lab) -> Result<Handin, ArchiveError> {
    let unreadable = |e| ArchiveError::Unreadable(path.to_path_buf(), e);
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(ArchiveError::NotAFile(path.to_path_buf()));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_ARCHIVE + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    parse(&bytes, lab)
}

fn parse(bytes: &[u8], lab: Lab) -> Result<Handin, ArchiveError> {
    if bytes.is_empty() {
        return Err(ArchiveError::Empty);
    }
    if bytes.len() as u64 > LARGEST_ARCHIVE {
        return Err(ArchiveError::ArchiveTooLarge);
    }
    if let Some((_, format)) = OTHER_FORMATS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(ArchiveError::OtherFormat(format));
    }
    let files = lab.files();
    let mut texts: Vec<Option<String>> = vec![None; files.len()];
    let mut remarks = Vec::new();
    let mut attributes = false;
    let mut archive = Archive::new(bytes);
    let entries = archive.entries().map_err(|_| ArchiveError::NoTar)?;
    let mut last = None;
    for entry in entries {
        // The tar crate's own message is left out: it quotes the archive.
        let mut entry = entry.map_err(|_| last.take().map_or(ArchiveError::NoTar, ArchiveError::Damaged))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if let Some(extensions) = entry.pax_extensions().map_err(|_| ArchiveError::Damaged(name.clone()))? {
            attributes = true;
            // Look before the name is judged: such a member is called GNUSparseFile.123/raft.rs.
            let is_sparse = |key: &[u8]| key.starts_with(b"GNU.sparse.");
            if extensions.into_iter().any(|pair| pair.is_ok_and(|pair| is_sparse(pair.key_bytes()))) {
                return Err(ArchiveError::Special(name, SPARSE));
            }
        }
        match judge(&entry, &name, lab)? {
            Member::Ignored(remark) => remarks.extend(remark),
            Member::File(index) => {
                if texts[index].is_some() {
                    return Err(ArchiveError::Twice(name));
                }
                texts[index] = Some(text_of(&mut entry, &name)?);
            }
        }
        last = Some(name);
    }
    if attributes {
        remarks.push("extended attributes (pax headers) are ignored".to_string());
    }
    let (there, missing): (Vec<_>, Vec<_>) = files.iter().zip(texts).partition(|(_, text)| text.is_some());
    if !missing.is_empty() {
        let has_only_raft =
            there.iter().map(|(file, _)| file.name).eq(Lab::Two.files().iter().map(|file| file.name));
        return Err(match has_only_raft {
            true => ArchiveError::OtherLab(lab),
            false => ArchiveError::Missing(missing.into_iter().map(|(file, _)| file.name).collect()),
        });
    }
    let files = there.into_iter().map(|(file, text)| (file, text.unwrap_or_default())).collect();
    Ok(Handin { files, remarks })
}

/// A member of an archive that is not refused.
enum Member {
    /// One of the lab's files, by its place.
    File(usize),
    /// Harmless, with a remark if the student should know.
    Ignored(Option<String>),
}

/// `name` is the member's name; a header before the member may have given it.
fn judge(entry: &Entry<'_, &[u8]>, name: &str, lab: Lab) -> Result<Member, ArchiveError> {
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        return Ok(Member::Ignored(Some("a global pax header is ignored".to_string())));
    }
    if name.starts_with('/') {
        return Err(ArchiveError::Absolute(name.to_string()));
    }
    if name.split('/').any(|part| part == "..") {
        return Err(ArchiveError::LeadsOut(name.to_string()));
    }
    let plain = name.strip_prefix("./").unwrap_or(name);
    let special = match kind {
        // `tar cf x.tar .` begins with the folder itself.
        EntryType::Directory if plain.is_empty() || plain == "." => return Ok(Member::Ignored(None)),
        EntryType::Directory => Some("a folder"),
        EntryType::Regular => None,
        EntryType::Symlink => Some("a symbolic link"),
        EntryType::Link => Some("a hard link"),
        EntryType::Fifo => Some("a named pipe"),
        EntryType::Char | EntryType::Block => Some("a device"),
        EntryType::GNUSparse => Some(SPARSE),
        _ => Some("a member of an unknown kind"),
    };
    if let Some(special) = special {
        return Err(ArchiveError::Special(name.to_string(), special));
    }
    let base = plain.rsplit('/').next().unwrap_or(plain);
    if base.starts_with("._") || base == ".DS_Store" {
        return Ok(Member::Ignored(Some(format!("{name:?}, which macOS adds, is ignored"))));
    }
    let is_left_by_editor = base.ends_with('~')
        || base.starts_with('.') && [".swp", ".swo"].iter().any(|end| base.ends_with(end));
    if is_left_by_editor {
        return Ok(Member::Ignored(Some(format!("{name:?}, which an editor leaves, is ignored"))));
    }
    if plain.contains('/') {
        return Err(ArchiveError::InFolder(name.to_string()));
    }
    let has_name = |file: &StudentFile| file.name == plain;
    match lab.files().iter().position(has_name) {
        Some(index) => Ok(Member::File(index)),
        None if Lab::Three.files().iter().any(has_name) => Err(ArchiveError::OtherLab(lab)),
        None => Err(ArchiveError::Unknown(name.to_string(), lab)),
    }
}

const SPARSE: &str = "a sparse file";

fn text_of(entry: &mut Entry<'_, &[u8]>, name: &str) -> Result<String, ArchiveError> {
    let damaged = |_| ArchiveError::Damaged(name.to_string());
    let size = entry.size();
    if size > LARGEST_FILE {
        return Err(ArchiveError::FileTooLarge(name.to_string(), size));
    }
    let mut content = Vec::new();
    entry.take(LARGEST_FILE).read_to_end(&mut content).map_err(damaged)?;
    String::from_utf8(content).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        ArchiveError::NotText(name.to_string(), 1 + good.iter().filter(|b| **b == b'\n').count())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::FILES;
    use tar::{Builder, Header};

    /// A tar archive, member by member.
    struct Tar(Builder<Vec<u8>>);

    impl Tar {
        fn new() -> Tar {
            Tar(Builder::new(Vec::new()))
        }

        /// The four files as they should be.
        fn right() -> Tar {
            FILES.iter().fold(Tar::new(), |tar, StudentFile { name, .. }| {
                tar.file(name, format!("// {name}\n").as_bytes())
            })
        }

        /// All but one of them.
        fn without(left_out: &str) -> Tar {
            let others = FILES.iter().filter(|file| file.name != left_out);
            others.fold(Tar::new(), |tar, file| tar.file(file.name, b"//\n"))
        }

        fn file(self, name: &str, content: &[u8]) -> Tar {
            self.member(name, EntryType::Regular, content.len() as u64, content)
        }

        /// Writes names as they are: the tar crate would refuse some.
        fn member(mut self, name: &str, kind: EntryType, size: u64, content: &[u8]) -> Tar {
            let mut header = Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_mode(0o644);
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.set_link_name("/etc/passwd").unwrap();
            }
            if kind == EntryType::GNUSparse {
                header.as_gnu_mut().unwrap().set_real_size(0);
            }
            header.set_cksum();
            self.0.append(&header, content).unwrap();
            self
        }

        fn bytes(self) -> Vec<u8> {
            self.0.into_inner().unwrap()
        }
    }

    /// Checks that the archive is refused with a sentence that holds all of `words`.
    #[track_caller]
    fn refused(bytes: &[u8], words: &[&str]) {
        refused_as(Lab::Three, bytes, words);
    }

    #[track_caller]
    fn refused_as(lab: Lab, bytes: &[u8], words: &[&str]) {
        let error = parse(bytes, lab).unwrap_err().advice(lab);
        for word in words {
            assert!(error.contains(word), "{word:?} is missing in: {error}");
        }
        assert!(error.ends_with('.') && !error.contains('\n'), "{error}");
    }

    #[track_caller]
    fn special(kind: EntryType, what: &str) {
        refused(&Tar::without("raft.rs").member("raft.rs", kind, 0, b"").bytes(), &["\"raft.rs\"", what]);
    }

    #[test]
    fn four_files_in_any_order_with_or_without_dot() {
        let handin = parse(&Tar::right().bytes(), Lab::Three).unwrap();
        assert_eq!(handin.files[0].1, "// raft.rs\n");
        assert_eq!(handin.files[3].1, "// common.rs\n");
        assert!(handin.remarks.is_empty());
        let dotted = FILES
            .iter()
            .rev()
            .fold(Tar::new().member("./", EntryType::Directory, 0, b""), |tar, StudentFile { name, .. }| {
                tar.file(&format!("./{name}"), format!("// {name}\n").as_bytes())
            });
        let handin = parse(&dotted.bytes(), Lab::Three).unwrap();
        assert_eq!(handin.files[0].1, "// raft.rs\n");
        assert!(handin.remarks.is_empty());
    }

    #[test]
    fn what_macos_git_and_editors_add_is_passed_over() {
        let attribute = b"30 LIBARCHIVE.xattr.a=whatever\n";
        let global = b"16 comment=abcd\n";
        let bytes = Tar::new()
            .member("pax_global_header", EntryType::XGlobalHeader, global.len() as u64, global)
            .file("._raft.rs", b"\0\x05\x16\x07")
            .file("./._server.rs", b"\0\x05\x16\x07")
            .file(".DS_Store", b"\0\0\0\x01Bud1")
            .file("raft.rs~", b"// old\n")
            .file(".raft.rs.swp", b"b0VIM")
            .member("PaxHeader/raft.rs", EntryType::XHeader, attribute.len() as u64, attribute)
            .file("raft.rs", b"//\n")
            .file("server.rs", b"//\n")
            .file("client.rs", b"//\n")
            .file("common.rs", b"//\n")
            .bytes();
        let remarks = parse(&bytes, Lab::Three).unwrap().remarks.join("; ");
        for word in [
            "\"._raft.rs\"",
            "\"./._server.rs\"",
            "\".DS_Store\", which macOS adds,",
            "\"raft.rs~\", which an editor leaves,",
            "\".raft.rs.swp\"",
            "global pax header",
            "extended attributes",
        ] {
            assert!(remarks.contains(word), "{word}: {remarks}");
        }
    }

    #[test]
    fn other_formats_are_named() {
        for (magic, format) in OTHER_FORMATS {
            refused(&[magic, &[0; 2000]].concat(), &[format, "plain tar", "make handin"]);
        }
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        refused(b"", &["empty"]);
        refused(b"fn main() {}\n".repeat(100).as_slice(), &["not a tar archive"]);
        refused(&[0; 10240], &["lacks raft.rs, server.rs, client.rs, common.rs"]);
        refused(&vec![0; LARGEST_ARCHIVE as usize + 1], &["larger than 4 MiB"]);
    }

    #[test]
    fn folders_are_refused() {
        special(EntryType::Directory, "a folder");
        refused(
            &Tar::right().member("raft/", EntryType::Directory, 0, b"").bytes(),
            &["\"raft/\"", "a folder"],
        );
        refused(
            &Tar::right().member("raft/", EntryType::Regular, 0, b"").bytes(),
            &["\"raft/\"", "a folder"],
        );
        refused(
            &Tar::without("raft.rs").file("src/raft.rs", b"").bytes(),
            &["\"src/raft.rs\"", "no folders"],
        );
        refused(
            &Tar::without("raft.rs").file("././raft.rs", b"").bytes(),
            &["\"././raft.rs\"", "no folders"],
        );
    }

    #[test]
    fn missing_extra_and_double_files_are_named() {
        refused(&Tar::without("client.rs").bytes(), &["lacks client.rs."]);
        for extra in ["Raft.rs", "raft.rs.bak", "lib.rs", "Cargo.toml", " raft.rs", "build.rs", ".", ""] {
            refused(&Tar::right().file(extra, b"").bytes(), &[&format!("{extra:?}"), "must hold only"]);
        }
        refused(&Tar::right().file("raft.rs", b"").bytes(), &["\"raft.rs\" twice"]);
        refused(&Tar::right().file("./raft.rs", b"").bytes(), &["\"./raft.rs\" twice"]);
    }

    #[test]
    fn a_hand_in_of_the_other_lab_gets_one_clear_sentence() {
        let raft_alone = || Tar::new().file("raft.rs", b"//\n");
        let handin = parse(&raft_alone().bytes(), Lab::Two).unwrap();
        assert_eq!(handin.files.iter().map(|(file, _)| file.name).collect::<Vec<_>>(), ["raft.rs"]);
        let lab_3 = "This is a hand-in of Lab 3, and Lab 2 is graded: the archive must hold only raft.rs. Pack it with \
                     `make handin LAB=2`.";
        refused_as(Lab::Two, &Tar::right().bytes(), &[lab_3]);
        let lab_2 = "This is a hand-in of Lab 2, and Lab 3 is graded: the archive must hold raft.rs, server.rs, client.rs and \
                     common.rs. Pack it with `make handin`.";
        refused(&raft_alone().bytes(), &[lab_2]);
        refused_as(Lab::Two, &raft_alone().file("lib.rs", b"").bytes(), &["\"lib.rs\"", "only raft.rs."]);
        refused_as(Lab::Two, &Tar::new().bytes(), &["lacks raft.rs"]);
    }

    #[test]
    fn links_pipes_and_devices_are_refused() {
        special(EntryType::Symlink, "a symbolic link");
        special(EntryType::Link, "a hard link");
        special(EntryType::Fifo, "a named pipe");
        special(EntryType::Char, "a device");
        special(EntryType::Block, "a device");
        special(EntryType::GNUSparse, "a sparse file");
        special(EntryType::Continuous, "unknown kind");
        special(EntryType::new(b'V'), "unknown kind");
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        refused(&Tar::right().file("../raft.rs", b"").bytes(), &["\"../raft.rs\"", "\"..\""]);
        refused(&Tar::right().file("./../raft.rs", b"").bytes(), &["\"..\""]);
        refused(&Tar::right().file("/etc/passwd", b"").bytes(), &["\"/etc/passwd\"", "absolute"]);
        // Not even when nothing would be done with it.
        refused(&Tar::right().file("/tmp/._raft.rs", b"").bytes(), &["absolute"]);
    }

    #[test]
    fn a_name_given_by_a_pax_header_counts() {
        let path = b"22 path=../outside.rs\n";
        let bytes = Tar::right()
            .member("PaxHeader/x", EntryType::XHeader, path.len() as u64, path)
            .file("._innocent", b"")
            .bytes();
        refused(&bytes, &["\"../outside.rs\""]);
        let long = [b"/".repeat(200).as_slice(), b"raft.rs\0"].concat();
        let bytes = Tar::right()
            .member("././@LongLink", EntryType::GNULongName, long.len() as u64, &long)
            .file("._innocent", b"")
            .bytes();
        refused(&bytes, &["absolute"]);
    }

    #[test]
    fn sizes_are_bounded() {
        let large = vec![b' '; LARGEST_FILE as usize + 1];
        refused(&Tar::without("raft.rs").file("raft.rs", &large).bytes(), &["\"raft.rs\" has 1048577 bytes"]);
        let limit = vec![b' '; LARGEST_FILE as usize];
        assert!(parse(&Tar::without("raft.rs").file("raft.rs", &limit).bytes(), Lab::Three).is_ok());
        // The header claims what the archive does not hold.
        let bomb = Tar::without("raft.rs").member("raft.rs", EntryType::Regular, 1 << 33, b"");
        refused(&bomb.bytes(), &["\"raft.rs\" has 8589934592 bytes"]);
        let sparse = b"22 GNU.sparse.major=1\n";
        let bytes = Tar::without("raft.rs")
            .member("PaxHeader/raft.rs", EntryType::XHeader, sparse.len() as u64, sparse)
            .file("GNUSparseFile.7/raft.rs", b"")
            .bytes();
        refused(&bytes, &["raft.rs\"", "a sparse file"]);
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let bytes = Tar::right().bytes();
        refused(&bytes[..100], &["not a tar archive"]);
        // In the first file, in the padding behind it, in the next header.
        for end in [515, 700, 1100] {
            refused(&bytes[..end], &["cut off", "\"raft.rs\""]);
        }
        // In the last file.
        refused(&bytes[..3 * 1024 + 520], &["cut off", "\"common.rs\""]);
        let mut broken = bytes.clone();
        broken[1024 + 3] ^= 1;
        refused(&broken, &["damaged", "\"raft.rs\""]);
    }

    #[test]
    fn only_utf8_text_is_taken() {
        refused(
            &Tar::without("raft.rs").file("raft.rs", b"//\n// \xe9t\xe9\n").bytes(),
            &["UTF-8", "line 2"],
        );
        assert!(
            parse(
                &Tar::without("raft.rs").file("raft.rs", "// \u{e9}t\u{e9}\n".as_bytes()).bytes(),
                Lab::Three
            )
            .is_ok()
        );
    }

    /// Names go to a terminal and into a log that is parsed.
    #[test]
    fn control_characters_in_names_are_escaped() {
        refused(&Tar::right().file("a\n{\"scores\": {}}\x1b[2J", b"").bytes(), &["\\n", "\\u{1b}"]);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        assert!(read(Path::new("/"), Lab::Three).unwrap_err().to_string().contains("is not a file"));
        assert!(
            read(Path::new("/no/such/file"), Lab::Three).unwrap_err().to_string().contains("cannot be read")
        );
    }
}
