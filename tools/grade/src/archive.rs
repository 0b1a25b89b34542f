//! Reads a hand-in: a plain tar archive with the four files that a student writes, and nothing else.
//!
//! Nothing is unpacked: the archive is read in memory, and what comes out is the text of four files whose names are
//! known here. So no name in the archive ever becomes a path.

use proc_macro2::{TokenStream, TokenTree};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;
use tar::{Archive, Entry, EntryType};

/// The files of a hand-in: each one's name, and its place in the workspace. `make handin` and `make lab3.tar` read the
/// same list.
pub static FILES: LazyLock<[(&str, &str); 4]> = LazyLock::new(|| {
    let places: Vec<&str> = include_str!("../../handin/files").lines().collect();
    let name = |place: &'static str| place.rsplit('/').next().unwrap_or(place);
    std::array::from_fn(|i| (name(places[i]), places[i]))
});

/// How many bytes one file may have.
const LARGEST_FILE: u64 = 1 << 20;

/// How many bytes the archive may have.
const LARGEST_ARCHIVE: u64 = 4 << 20;

/// How the files are meant to be packed.
const FIX: &str = "Pack it with `make handin`.";

/// Formats that are often taken for tar, by the bytes they begin with.
const OTHER_FORMATS: [(&[u8], &str); 8] = [
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"Rar!", "rar"),
];

/// What a student handed in.
#[derive(Debug)]
pub struct Handin {
    /// The texts, in the order of `FILES`.
    pub texts: [String; 4],
    /// What was passed over.
    pub remarks: Vec<String>,
}

/// Words that no file may have. The compiler's lint against unsafe code does not see functions that are all assembly
/// (`#[unsafe(naked)]`), nor anything that comes out of a macro of another crate.
const FORBIDDEN: [&str; 2] = ["unsafe", "macro_export"];

impl Handin {
    /// Which forbidden word there is, and where. Comments and strings may have them.
    pub fn forbidden(&self) -> Option<String> {
        FILES.iter().zip(&self.texts).find_map(|((name, _), text)| {
            let (line, word) = forbidden_word(text)?;
            Some(format!(
                "{name} has the word `{word}` in line {line}. Hand-ins are graded without unsafe code, and with no \
                 macros for other crates."
            ))
        })
    }
}

/// The first forbidden word of a file's code, and its line.
fn forbidden_word(text: &str) -> Option<(usize, String)> {
    let Ok(tokens) = text.parse::<TokenStream>() else {
        // Nobody but a compiler can tell what is a comment here, so they count.
        return text.lines().enumerate().find_map(|(i, line)| {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            Some((i + 1, words.find(|word| FORBIDDEN.contains(word))?.to_string()))
        });
    };
    let mut streams = vec![tokens.into_iter()];
    while let Some(stream) = streams.last_mut() {
        match stream.next() {
            Some(TokenTree::Group(group)) => streams.push(group.stream().into_iter()),
            Some(TokenTree::Ident(ident)) if FORBIDDEN.iter().any(|word| ident == word) => {
                return Some((ident.span().start().line, ident.to_string()));
            }
            Some(_) => {}
            None => drop(streams.pop()),
        }
    }
    None
}

/// Reads the archive at `path`, or says in one sentence what is wrong with it and how to mend it.
pub fn read(path: &Path) -> Result<Handin, String> {
    let name = path.display();
    let unreadable = |e: std::io::Error| format!("{name} cannot be read: {e}.");
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(format!("{name} is not a file. {FIX}"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_ARCHIVE + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Handin, String> {
    if bytes.is_empty() {
        return Err(format!("The archive is empty: it has no bytes. {FIX}"));
    }
    if bytes.len() as u64 > LARGEST_ARCHIVE {
        return Err(format!(
            "The archive is larger than {} MiB; hand in the four source files only. {FIX}",
            LARGEST_ARCHIVE >> 20
        ));
    }
    if let Some((_, format)) = OTHER_FORMATS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(format!("The archive is a {format} file, not a plain tar. {FIX}"));
    }
    let mut texts: [Option<String>; 4] = Default::default();
    let mut remarks = Vec::new();
    let mut attributes = false;
    let mut archive = Archive::new(bytes);
    let entries = archive.entries().map_err(|_| damaged(None))?;
    let mut last = None;
    for entry in entries {
        let mut entry = entry.map_err(|_| damaged(last.as_deref()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let extensions = entry.pax_extensions().map_err(|_| damaged(Some(&name)))?;
        if extensions.is_some() {
            attributes = true;
        }
        match judge(&entry, &name)? {
            Member::PassedOver(remark) => remarks.extend(remark),
            Member::File(index) => {
                if texts[index].is_some() {
                    return Err(format!("The archive has {name:?} twice. {FIX}"));
                }
                texts[index] = Some(text_of(&mut entry, &name)?);
            }
        }
        last = Some(name);
    }
    if attributes {
        remarks.push("extended attributes (pax headers) are passed over".to_string());
    }
    let missing: Vec<&str> =
        FILES.iter().zip(&texts).filter(|(_, text)| text.is_none()).map(|((name, _), _)| *name).collect();
    if !missing.is_empty() {
        return Err(format!("The archive lacks {}. {FIX}", missing.join(", ")));
    }
    Ok(Handin { texts: texts.map(Option::unwrap_or_default), remarks })
}

/// What a member of the archive is to us.
enum Member {
    /// One of the four, by its place in `FILES`.
    File(usize),
    /// Harmless, with what there is to say about it.
    PassedOver(Option<String>),
}

/// `name` is the archive's, and may be anything: it is shown with `{:?}`, which leaves nothing in it that a terminal
/// would obey.
fn judge(entry: &Entry<'_, &[u8]>, name: &str) -> Result<Member, String> {
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        return Ok(Member::PassedOver(Some("a global pax header is passed over".to_string())));
    }
    if name.starts_with('/') {
        return Err(format!(
            "The archive has {name:?}, an absolute path; it must hold plain names only. {FIX}"
        ));
    }
    if name.split('/').any(|part| part == "..") {
        return Err(format!(
            "The archive has {name:?}, a path with \"..\" in it; it must hold plain names only. {FIX}"
        ));
    }
    let plain = name.strip_prefix("./").unwrap_or(name);
    let special = match kind {
        // `tar cf x.tar .` begins with the folder itself.
        EntryType::Directory if plain.is_empty() || plain == "." => return Ok(Member::PassedOver(None)),
        EntryType::Directory => Some("a folder"),
        EntryType::Regular => None,
        EntryType::Symlink => Some("a symbolic link"),
        EntryType::Link => Some("a hard link"),
        EntryType::Fifo => Some("a named pipe"),
        EntryType::Char | EntryType::Block => Some("a device"),
        EntryType::GNUSparse => Some("a sparse file"),
        _ => Some("a member of an unknown kind"),
    };
    if let Some(special) = special {
        return Err(format!("The archive has {name:?}, which is {special}, not a plain file. {FIX}"));
    }
    let base = plain.rsplit('/').next().unwrap_or(plain);
    if base.starts_with("._") {
        return Ok(Member::PassedOver(Some(format!("{name:?}, which macOS adds, is passed over"))));
    }
    if plain.contains('/') {
        return Err(format!(
            "The archive has {name:?}, which lies in a folder; the files must lie flat. {FIX}"
        ));
    }
    match FILES.iter().position(|(file, _)| *file == plain) {
        Some(index) => Ok(Member::File(index)),
        None => Err(format!(
            "The archive has {name:?}, which is none of raft.rs, server.rs, client.rs and common.rs. {FIX}"
        )),
    }
}

fn text_of(entry: &mut Entry<'_, &[u8]>, name: &str) -> Result<String, String> {
    let size = entry.size();
    if size > LARGEST_FILE {
        return Err(format!(
            "{name:?} has {size} bytes; a source file may have {} MiB. {FIX}",
            LARGEST_FILE >> 20
        ));
    }
    let extensions = entry.pax_extensions().map_err(|_| damaged(Some(name)))?;
    let sparse = |key: &[u8]| key.starts_with(b"GNU.sparse.");
    if extensions.is_some_and(|mut list| list.any(|pair| pair.is_ok_and(|pair| sparse(pair.key_bytes())))) {
        return Err(format!("The archive has {name:?}, which is a sparse file, not a plain file. {FIX}"));
    }
    let mut content = Vec::new();
    entry.take(LARGEST_FILE).read_to_end(&mut content).map_err(|_| damaged(Some(name)))?;
    String::from_utf8(content).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("{name:?} is not UTF-8 text (line {line}); save it as UTF-8.")
    })
}

/// `last` is the last member that was read. What the tar crate says about it is left out: it quotes the archive.
fn damaged(last: Option<&str>) -> String {
    match last {
        None => format!("The file is no tar archive. {FIX}"),
        Some(name) => {
            format!("The archive is damaged or cut off at or behind {name:?}; upload it again. {FIX}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    /// A tar archive, member by member.
    struct Tar(Builder<Vec<u8>>);

    impl Tar {
        fn new() -> Tar {
            Tar(Builder::new(Vec::new()))
        }

        /// The four files as they should be.
        fn right() -> Tar {
            FILES.iter().fold(Tar::new(), |tar, (name, _)| tar.file(name, format!("// {name}\n").as_bytes()))
        }

        /// All but one of them.
        fn without(left_out: &str) -> Tar {
            let others = FILES.iter().filter(|(name, _)| *name != left_out);
            others.fold(Tar::new(), |tar, (name, _)| tar.file(name, b"//\n"))
        }

        fn file(self, name: &str, content: &[u8]) -> Tar {
            self.member(name, EntryType::Regular, content.len() as u64, content)
        }

        /// Names are written as they are: the tar crate would refuse some.
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

    /// The archive is refused with a sentence that has all of `words` in it.
    #[track_caller]
    fn refused(bytes: &[u8], words: &[&str]) {
        let error = parse(bytes).unwrap_err();
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
        let handin = parse(&Tar::right().bytes()).unwrap();
        assert_eq!(handin.texts[0], "// raft.rs\n");
        assert_eq!(handin.texts[3], "// common.rs\n");
        assert!(handin.remarks.is_empty());
        let dotted = FILES
            .iter()
            .rev()
            .fold(Tar::new().member("./", EntryType::Directory, 0, b""), |tar, (name, _)| {
                tar.file(&format!("./{name}"), format!("// {name}\n").as_bytes())
            });
        let handin = parse(&dotted.bytes()).unwrap();
        assert_eq!(handin.texts[0], "// raft.rs\n");
        assert!(handin.remarks.is_empty());
    }

    #[test]
    fn what_macos_and_git_add_is_passed_over() {
        let attribute = b"30 LIBARCHIVE.xattr.a=whatever\n";
        let global = b"16 comment=abcd\n";
        let bytes = Tar::new()
            .member("pax_global_header", EntryType::XGlobalHeader, global.len() as u64, global)
            .file("._raft.rs", b"\0\x05\x16\x07")
            .file("./._server.rs", b"\0\x05\x16\x07")
            .member("PaxHeader/raft.rs", EntryType::XHeader, attribute.len() as u64, attribute)
            .file("raft.rs", b"//\n")
            .file("server.rs", b"//\n")
            .file("client.rs", b"//\n")
            .file("common.rs", b"//\n")
            .bytes();
        let remarks = parse(&bytes).unwrap().remarks.join("; ");
        for word in ["\"._raft.rs\"", "\"./._server.rs\"", "global pax header", "extended attributes"] {
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
        refused(b"fn main() {}\n".repeat(100).as_slice(), &["no tar archive"]);
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
        refused(&Tar::without("raft.rs").file("src/raft.rs", b"").bytes(), &["\"src/raft.rs\"", "flat"]);
        refused(&Tar::without("raft.rs").file("././raft.rs", b"").bytes(), &["\"././raft.rs\"", "flat"]);
    }

    #[test]
    fn missing_extra_and_double_files_are_named() {
        refused(&Tar::without("client.rs").bytes(), &["lacks client.rs."]);
        for extra in ["Raft.rs", "raft.rs.bak", "lib.rs", "Cargo.toml", " raft.rs", "build.rs", ".", ""] {
            refused(&Tar::right().file(extra, b"").bytes(), &[&format!("{extra:?}"), "none of"]);
        }
        refused(&Tar::right().file("raft.rs", b"").bytes(), &["\"raft.rs\" twice"]);
        refused(&Tar::right().file("./raft.rs", b"").bytes(), &["\"./raft.rs\" twice"]);
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
        assert!(parse(&Tar::without("raft.rs").file("raft.rs", &limit).bytes()).is_ok());
        // The header claims what the archive does not hold.
        let bomb = Tar::without("raft.rs").member("raft.rs", EntryType::Regular, 1 << 33, b"");
        refused(&bomb.bytes(), &["\"raft.rs\" has 8589934592 bytes"]);
        let sparse = b"22 GNU.sparse.major=1\n";
        let bytes = Tar::without("raft.rs")
            .member("PaxHeader/raft.rs", EntryType::XHeader, sparse.len() as u64, sparse)
            .file("raft.rs", b"")
            .bytes();
        refused(&bytes, &["\"raft.rs\"", "a sparse file"]);
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let bytes = Tar::right().bytes();
        refused(&bytes[..100], &["no tar archive"]);
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
    fn forbidden_words_are_found_wherever_they_do_something() {
        let of = |text: &str| {
            let archive = Tar::without("client.rs").file("client.rs", format!("// one\n{text}\n").as_bytes());
            parse(&archive.bytes()).unwrap().forbidden()
        };
        for text in [
            "#[unsafe(naked)] fn f() {}",
            "#[macro_export] macro_rules! m { () => {} }",
            "#[cfg_attr(all(), macro_export)] macro_rules! m { () => {} }",
            "fn f() { g(h![unsafe {}]) }",
            "/* /* */ */ unsafe fn f() {}",
            "const A: &str = \"\"; unsafe fn f() {}",
            // Not to be taken apart: then comments count.
            "' // unsafe",
        ] {
            let why = of(text).unwrap_or_else(|| panic!("{text}"));
            assert!(
                why.starts_with("client.rs has the word `") && why.contains("in line 2."),
                "{text}: {why}"
            );
        }
        for text in [
            "// unsafe",
            "/// This is unsafe.",
            "/* unsafe /* #[macro_export] */ unsafe */",
            "const A: &str = \"unsafe\"; const B: &str = r#\"\" unsafe {}\"#;",
            "fn f() { let is_unsafe = unsafely(); }",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn only_utf8_text_is_taken() {
        refused(
            &Tar::without("raft.rs").file("raft.rs", b"//\n// \xe9t\xe9\n").bytes(),
            &["UTF-8", "line 2"],
        );
        assert!(
            parse(&Tar::without("raft.rs").file("raft.rs", "// \u{e9}t\u{e9}\n".as_bytes()).bytes()).is_ok()
        );
    }

    /// Names go to a terminal and into a log that is parsed.
    #[test]
    fn control_characters_in_names_are_escaped() {
        refused(&Tar::right().file("a\n{\"scores\": {}}\x1b[2J", b"").bytes(), &["\\n", "\\u{1b}"]);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        assert!(read(Path::new("/")).unwrap_err().contains("is not a file"));
        assert!(read(Path::new("/no/such/file")).unwrap_err().contains("cannot be read"));
    }
}
