//! The names that Rust files declare, and those of them that a crate's users see.

use crate::error::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::{ImplItem, Item, ItemConst, ItemStatic, ItemType, TraitItem, UseTree, Visibility};

/// The names that one crate declares: `Raft::start`, `ApplyMsg::command`, `Event::Call`, `make_clerk`, `dprintf!`.
#[derive(Default)]
pub struct Names {
    /// All names, by file.
    pub all: BTreeMap<PathBuf, BTreeSet<String>>,
    /// The names that the crate's users see, by file.
    pub public: BTreeMap<PathBuf, BTreeSet<String>>,
    /// The names of the tests in the files named test_test.rs.
    pub tests: BTreeMap<PathBuf, BTreeSet<String>>,
}

/// A file and its items.
struct File {
    path: PathBuf,
    items: Vec<Item>,
}

impl Names {
    /// Reads the crate in the folder `folder` of `root`. `instead` may name another file to read in place of a file.
    ///
    /// # Errors
    /// If a file cannot be read, or is not Rust.
    pub fn of_crate(
        root: &Path,
        folder: &str,
        instead: impl Fn(&Path) -> Option<PathBuf>,
    ) -> Result<Names, Error> {
        let mut files = Vec::new();
        for part in ["src", "tests"] {
            for path in rust_files(&root.join(folder).join(part))? {
                let name = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
                let from = instead(&name).unwrap_or(path);
                let text = std::fs::read_to_string(&from).map_err(|e| Error::io(&from, e))?;
                let items = syn::parse_file(&text).map_err(|e| Error::syntax(&from, e))?.items;
                files.push(File { path: name, items });
            }
        }
        let exported = exported(&files, &Path::new(folder).join("src/lib.rs"));
        let mut names = Names::default();
        for file in &files {
            let is_library = file.path.starts_with(Path::new(folder).join("src"));
            names.read(&file.path, &file.items, &|name| is_library && exported.contains(name));
        }
        Ok(names)
    }

    fn read(&mut self, path: &Path, items: &[Item], is_exported: &dyn Fn(&str) -> bool) {
        let is_test_test = path.file_name().is_some_and(|name| name == "test_test.rs");
        for item in items {
            let mut add = |name: String, public: bool| {
                if public {
                    self.public.entry(path.to_path_buf()).or_default().insert(name.clone());
                }
                self.all.entry(path.to_path_buf()).or_default().insert(name);
            };
            match item {
                Item::Fn(item) => {
                    let name = item.sig.ident.to_string();
                    add(name.clone(), is_public(&item.vis) && is_exported(&name));
                    // The tests of the labs are listed by name, and have no attribute. An ignored function is a part of
                    // another test.
                    let has = |attribute| item.attrs.iter().any(|a| a.path().is_ident(attribute));
                    let is_test = (name.starts_with("test_") || has("test")) && !has("ignore");
                    if is_test && is_test_test {
                        self.tests.entry(path.to_path_buf()).or_default().insert(name);
                    }
                }
                Item::Const(ItemConst { vis, ident, .. })
                | Item::Static(ItemStatic { vis, ident, .. })
                | Item::Type(ItemType { vis, ident, .. }) => {
                    let name = ident.to_string();
                    let public = is_public(vis) && is_exported(&name);
                    add(name, public);
                }
                Item::Struct(item) => {
                    let name = item.ident.to_string();
                    let exported = is_public(&item.vis) && is_exported(&name);
                    for field in &item.fields {
                        if let Some(ident) = &field.ident {
                            add(format!("{name}::{ident}"), exported && is_public(&field.vis));
                        }
                    }
                    add(name, exported);
                }
                Item::Enum(item) => {
                    let name = item.ident.to_string();
                    let exported = is_public(&item.vis) && is_exported(&name);
                    item.variants.iter().for_each(|v| add(format!("{name}::{}", v.ident), exported));
                    add(name, exported);
                }
                Item::Trait(item) => {
                    let name = item.ident.to_string();
                    let exported = is_public(&item.vis) && is_exported(&name);
                    for member in item.items.iter().filter_map(trait_member) {
                        add(format!("{name}::{member}"), exported);
                    }
                    add(name, exported);
                }
                // The methods of a trait are the trait's names, and not the type's.
                Item::Impl(item) if item.trait_.is_none() => {
                    let Some(name) = type_name(&item.self_ty) else { continue };
                    for (member, public) in item.items.iter().filter_map(impl_member) {
                        add(format!("{name}::{member}"), public && is_exported(&name));
                    }
                }
                Item::Macro(item) => {
                    if let Some(ident) = &item.ident {
                        let exported = item.attrs.iter().any(|a| a.path().is_ident("macro_export"));
                        add(format!("{ident}!"), exported);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The names that the crate's lib.rs makes public: its own items, its re-exports by name, and the items of its public
/// modules.
fn exported(files: &[File], lib: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Some(lib) = files.iter().find(|file| file.path == lib) else { return names };
    add_public(&lib.items, &mut names);
    for item in &lib.items {
        match item {
            Item::Use(item) if is_public(&item.vis) => add_used(&item.tree, &mut names),
            Item::Mod(item) if is_public(&item.vis) => {
                let path = lib.path.with_file_name(format!("{}.rs", item.ident));
                if let Some(file) = files.iter().find(|file| file.path == path) {
                    add_public(&file.items, &mut names);
                }
            }
            _ => {}
        }
    }
    names
}

fn add_public(items: &[Item], names: &mut BTreeSet<String>) {
    for item in items {
        let (vis, ident) = match item {
            Item::Fn(item) => (&item.vis, &item.sig.ident),
            Item::Const(item) => (&item.vis, &item.ident),
            Item::Static(item) => (&item.vis, &item.ident),
            Item::Type(item) => (&item.vis, &item.ident),
            Item::Struct(item) => (&item.vis, &item.ident),
            Item::Enum(item) => (&item.vis, &item.ident),
            Item::Trait(item) => (&item.vis, &item.ident),
            _ => continue,
        };
        if is_public(vis) {
            names.insert(ident.to_string());
        }
    }
}

fn add_used(tree: &UseTree, names: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => add_used(&path.tree, names),
        UseTree::Group(group) => group.items.iter().for_each(|tree| add_used(tree, names)),
        UseTree::Name(name) => drop(names.insert(name.ident.to_string())),
        UseTree::Rename(rename) => drop(names.insert(rename.ident.to_string())),
        _ => {}
    }
}

fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

fn type_name(ty: &syn::Type) -> Option<String> {
    let syn::Type::Path(path) = ty else { return None };
    path.path.segments.last().map(|segment| segment.ident.to_string())
}

fn impl_member(item: &ImplItem) -> Option<(String, bool)> {
    match item {
        ImplItem::Fn(item) => Some((item.sig.ident.to_string(), is_public(&item.vis))),
        ImplItem::Const(item) => Some((item.ident.to_string(), is_public(&item.vis))),
        _ => None,
    }
}

fn trait_member(item: &TraitItem) -> Option<String> {
    match item {
        TraitItem::Fn(item) => Some(item.sig.ident.to_string()),
        TraitItem::Const(item) => Some(item.ident.to_string()),
        TraitItem::Type(item) => Some(item.ident.to_string()),
        _ => None,
    }
}

/// The Rust files directly in a folder. A folder that does not exist has none.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
