//! Which modules of a crate use which others.

use crate::error::Error;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree};

/// The modules of one crate. A module is named by its path from the root: `imp::scheduler`. The root's name is empty.
#[derive(Default)]
pub struct Modules {
    modules: BTreeMap<String, Module>,
}

#[derive(Default)]
struct Module {
    /// The names of the items that the module declares.
    items: BTreeSet<String>,
    /// What the module imports and re-exports: the name here, and the path of the original.
    imports: BTreeMap<String, Vec<String>>,
    /// The paths of `use x::*`.
    globs: Vec<Vec<String>>,
    /// All paths in the module that begin with `crate`, `super` or `self`, or that are imported.
    paths: BTreeSet<Vec<String>>,
}

impl Modules {
    /// Reads a crate from the file of its root, and follows its `mod` lines. Modules for tests (`#[cfg(test)]`) are left
    /// out.
    ///
    /// # Errors
    /// If a file cannot be read, or is not Rust.
    pub fn of_crate(root: &Path) -> Result<Modules, Error> {
        let mut modules = Modules::default();
        let folder = root.parent().unwrap_or(Path::new(""));
        modules.read_file(root, folder, "")?;
        Ok(modules)
    }

    /// `folder` is where the files of the module's own modules lie.
    fn read_file(&mut self, file: &Path, folder: &Path, name: &str) -> Result<(), Error> {
        let text = fs::read_to_string(file).map_err(|e| Error::io(file, e))?;
        let items = syn::parse_file(&text).map_err(|e| Error::syntax(file, e))?.items;
        self.read_items(&items, file.parent().unwrap_or(Path::new("")), folder, name)
    }

    fn read_items(&mut self, items: &[Item], here: &Path, folder: &Path, name: &str) -> Result<(), Error> {
        let mut reader = Reader { module: self.modules.remove(name).unwrap_or_default() };
        items.iter().for_each(|item| reader.visit_item(item));
        self.modules.insert(name.to_string(), reader.module);
        for item in items {
            let Item::Mod(item) = item else { continue };
            if is_for_tests(&item.attrs) {
                continue;
            }
            let ident = item.ident.to_string();
            let (child, below) = (join(name, &ident), folder.join(&ident));
            if let Some((_, items)) = &item.content {
                self.read_items(items, here, &below, &child)?;
            } else if let Some(path) = path_attribute(&item.attrs) {
                let file = here.join(path);
                self.read_file(&file, &folder_of(&file), &child)?;
            } else if folder.join(format!("{ident}.rs")).is_file() {
                self.read_file(&folder.join(format!("{ident}.rs")), &below, &child)?;
            } else {
                self.read_file(&below.join("mod.rs"), &below, &child)?;
            }
        }
        Ok(())
    }

    /// Each module, and those that it uses. What a module uses of itself, of the modules inside it and of the root is
    /// left out, and so is all that the root uses: a module that contains others puts them together.
    pub fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut edges = BTreeMap::new();
        for (name, module) in self.modules.iter().filter(|(name, _)| !name.is_empty()) {
            let used = module.paths.iter().filter_map(|path| self.resolve(name, path, 0));
            let is_inside = |other: &str| other == name || other.starts_with(&format!("{name}::"));
            let used: BTreeSet<&str> = used.filter(|used| !used.is_empty() && !is_inside(used)).collect();
            edges.insert(name.as_str(), used);
        }
        edges
    }

    /// The module that declares what `path`, written in the module `from`, leads to. None for another crate's.
    fn resolve(&self, from: &str, path: &[String], depth: usize) -> Option<&str> {
        // Two globs can lead to each other.
        const DEEPEST: usize = 20;
        if depth > DEEPEST {
            return None;
        }
        let mut at = from.to_string();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (at, rest) = (String::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {}
            first if self.has(from, first) => {}
            _ => return None,
        }
        while rest.first().is_some_and(|segment| segment == "super") {
            at = at.rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_string());
            rest = &rest[1..];
        }
        while let Some(segment) = rest.first() {
            let module = self.modules.get(&at)?;
            let child = join(&at, segment);
            if self.modules.contains_key(&child) {
                at = child;
            } else if let Some(original) = module.imports.get(segment) {
                // Ends where it stands when the original is of another crate.
                return self
                    .resolve(&at, &[original, &rest[1..]].concat(), depth + 1)
                    .or_else(|| self.key(&at));
            } else if !module.items.contains(segment) {
                let mut globs = module.globs.iter().filter_map(|glob| self.resolve(&at, glob, depth + 1));
                let declaring = globs.find(|glob| self.modules[*glob].items.contains(segment));
                return declaring.or_else(|| self.key(&at));
            } else {
                break;
            }
            rest = &rest[1..];
        }
        self.key(&at)
    }

    fn key(&self, name: &str) -> Option<&str> {
        self.modules.get_key_value(name).map(|(name, _)| name.as_str())
    }

    fn has(&self, module: &str, name: &str) -> bool {
        self.modules.contains_key(&join(module, name))
            || self.modules.get(module).is_some_and(|module| module.imports.contains_key(name))
    }

    /// The circles: for each module that uses itself through others, the shortest way round. Each is listed once, from
    /// the first of its names.
    pub fn circles(&self) -> Vec<Vec<&str>> {
        let edges = self.edges();
        let mut circles: Vec<Vec<&str>> = Vec::new();
        for start in edges.keys() {
            if let Some(circle) = shortest_way_round(start, &edges)
                && circle.iter().all(|name| name >= start)
            {
                circles.push(circle);
            }
        }
        circles
    }
}

fn shortest_way_round<'a>(
    start: &'a str,
    edges: &BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> Option<Vec<&'a str>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in edges.get(at).into_iter().flatten() {
            if *next == start {
                let mut circle = vec![start, at];
                while let Some(previous) = before.get(circle[circle.len() - 1]) {
                    circle.push(previous);
                }
                circle.reverse();
                circle.push(start);
                circle.dedup();
                return Some(circle);
            }
            if !before.contains_key(next) {
                before.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_string() } else { format!("{module}::{name}") }
}

/// The folder of the modules inside a module that has the file `file`.
fn folder_of(file: &Path) -> PathBuf {
    if file.ends_with("mod.rs") { file.with_file_name("") } else { file.with_extension("") }
}

/// `#[cfg(test)]`, alone or together with other conditions.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let condition = attribute.meta.require_list().map(|list| list.tokens.to_string());
        condition.is_ok_and(|text| {
            text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "test")
                && !text.contains("not")
        })
    })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find(|attribute| attribute.path().is_ident("path")).and_then(|attribute| {
        let syn::Meta::NameValue(value) = &attribute.meta else { return None };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &value.value else { return None };
        Some(text.value())
    })
}

/// Collects what one module declares and uses. It does not enter the modules inside that module.
struct Reader {
    module: Module,
}

impl Reader {
    fn add_use(&mut self, tree: &UseTree, prefix: &[String]) {
        let with = |ident: &syn::Ident| [prefix, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, prefix)),
            UseTree::Glob(_) => {
                self.module.globs.push(prefix.to_vec());
                self.module.paths.insert(prefix.to_vec());
            }
            UseTree::Name(name) => self.add_import(&name.ident, &with(&name.ident)),
            UseTree::Rename(rename) => self.add_import(&rename.rename, &with(&rename.ident)),
        }
    }

    fn add_import(&mut self, name: &syn::Ident, original: &[String]) {
        // `use a::{self}` imports a.
        let (mut name, mut original) = (name.to_string(), original);
        if original.len() > 1 && original.last().is_some_and(|last| last == "self") {
            original = &original[..original.len() - 1];
            if name == "self" {
                name.clone_from(&original[original.len() - 1]);
            }
        }
        self.module.paths.insert(original.to_vec());
        // An import of the same name as its first segment (`use rand`) leads out of the crate.
        if original[0] != name {
            self.module.imports.insert(name, original.to_vec());
        }
    }

    /// Adds the paths in the tokens of a macro, which no parser knows.
    fn add_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_path(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                proc_macro2::TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                proc_macro2::TokenTree::Group(group) => {
                    self.end_path(&mut path);
                    self.add_tokens(group.stream());
                    colons = 0;
                }
                _ => {
                    self.end_path(&mut path);
                    colons = 0;
                }
            }
        }
        self.end_path(&mut path);
    }

    fn end_path(&mut self, path: &mut Vec<String>) {
        if path.len() > 1 {
            self.module.paths.insert(std::mem::take(path));
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Const(item) => Some(&item.ident),
            Item::Static(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Macro(item) => item.ident.as_ref(),
            _ => None,
        };
        self.module.items.extend(name.map(syn::Ident::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            self.module.paths.insert(path.segments.iter().map(|s| s.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.add_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}
