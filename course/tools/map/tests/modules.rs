//! No crate of the workspace has a circle among its modules.
//!
//! `cargo test -p map --test modules -- --nocapture` prints which modules use which others.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is their helper function")]

use cargo_metadata::MetadataCommand;
use map::Modules;
use std::fs;
use std::path::Path;

#[test]
fn no_module_uses_itself_through_others() {
    let metadata = MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap_or_else(|e| panic!("cargo does not describe the workspace: {e}"));
    let mut circles = Vec::new();
    for package in &metadata.packages {
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        let folder = folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder);
        for target in &package.targets {
            let modules = Modules::of_crate(target.src_path.as_std_path()).unwrap_or_else(|e| panic!("{e}"));
            let kind = if target.is_lib() {
                String::new()
            } else {
                format!(" ({} {})", target.kind[0], target.name)
            };
            let edges = modules.edges();
            if !edges.is_empty() {
                println!("{folder}{kind}");
            }
            for (module, used) in edges {
                println!("  {module} -> {}", used.into_iter().collect::<Vec<_>>().join(", "));
            }
            circles.extend(
                modules.circles().iter().map(|circle| format!("{folder}{kind}: {}", circle.join(" -> "))),
            );
        }
    }
    assert!(
        circles.is_empty(),
        "modules use each other in circles. Move what both need into a module of its own:\n  {}",
        circles.join("\n  ")
    );
}

/// The edges, as text, and the circles of a crate with these files.
fn read(name: &str, files: &[(&str, &str)]) -> (String, Vec<String>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for (file, text) in files {
        let file = folder.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let modules = Modules::of_crate(&folder.join("lib.rs")).unwrap();
    let edge = |(from, to): (&str, &str)| format!("{from} -> {to}");
    let edges = modules.edges();
    let edges =
        edges.iter().flat_map(|(from, used)| used.iter().map(|to| edge((from, to)))).collect::<Vec<_>>();
    (edges.join(", "), modules.circles().iter().map(|circle| circle.join(" -> ")).collect())
}

#[test]
fn uses_and_paths_are_edges() {
    let (edges, circles) = read(
        "edges",
        &[
            ("lib.rs", "mod a; mod b; mod c; mod d; fn main() { a::f() }"),
            ("a.rs", "use crate::b::{self, Thing}; pub fn f() { b::g() }"),
            ("b.rs", "pub struct Thing; pub fn g() { super::c::h(1) }"),
            ("c.rs", "pub fn h(x: u8) { println!(\"{}\", crate::d::CONST) }"),
            ("d.rs", "use std::fmt; pub const CONST: u8 = 0;"),
        ],
    );
    assert_eq!(edges, "a -> b, b -> c, c -> d");
    assert!(circles.is_empty(), "{circles:?}");
}

#[test]
fn a_circle_is_spelt_out_once() {
    let files = [
        ("lib.rs", "mod lines; mod picture; mod page; mod apart;"),
        ("lines.rs", "use crate::picture;"),
        ("picture.rs", "fn f() { crate::page::f() }"),
        ("page.rs", "pub fn f() { super::lines::f() }"),
        ("apart.rs", "use crate::lines;"),
    ];
    let (_, circles) = read("circle", &files);
    assert_eq!(circles, ["lines -> picture -> page -> lines"]);
}

#[test]
fn a_re_export_is_followed_to_its_module() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; pub use a::Foo; pub use c::*; pub struct Own;"),
        ("a.rs", "use crate::{Own, Bar}; pub struct Foo;"),
        ("b.rs", "use crate::Foo as F;"),
        ("c.rs", "pub struct Bar;"),
    ];
    assert_eq!(read("re-export", &files).0, "a -> c, b -> a");
}

#[test]
fn modules_in_modules_and_modules_for_tests() {
    let files = [
        ("lib.rs", "mod a; #[path = \"elsewhere.rs\"] mod b;"),
        ("a/mod.rs", "mod deep; pub fn f() { deep::g() } mod inline { use super::deep::g; }"),
        (
            "a/deep.rs",
            "use super::f; #[cfg(test)] mod tests { use crate::b; } #[cfg(all(test, unix))] mod more { use crate::b; }",
        ),
        ("elsewhere.rs", "use crate::a::f;"),
    ];
    assert_eq!(
        read("nested", &files),
        ("a::deep -> a, a::inline -> a::deep, b -> a".to_string(), Vec::new())
    );
}
