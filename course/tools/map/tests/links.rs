//! Each link of the documentation leads to a file that exists, and to a heading that this file has. What students get
//! links to nothing that they do not get.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).expect("it is in course/tools/map").to_path_buf()
}

fn read(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("cannot read {}: {e}", page.display()))
}

/// Adds the Markdown files in a folder, and in the folders below it.
fn add_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(root().join(folder));
    for entry in entries.unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display())) {
        let entry = entry.unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display()));
        let path = folder.join(entry.file_name());
        if root().join(&path).is_dir() {
            add_pages(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// The lines of a page that are not code: their numbers, and their text without what stands in backticks.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code && !line.starts_with("    ") {
            lines.push((number, line.split('`').step_by(2).collect()));
        }
    }
    lines
}

/// The targets of the links of a line, such as `lab2.md#hints`.
fn targets(line: &str) -> Vec<String> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_string())
        .collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        if !is_code && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    anchors
}

/// Resolves `..` without asking the file system.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// What is wrong with one link, if anything. `page` is where it stands.
fn fault(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let is_own = file.is_empty();
    let file = if is_own { page.to_path_buf() } else { normal(&page.with_file_name("").join(file)) };
    if !root().join(&file).exists() {
        return Some(format!("there is no {}", file.display()));
    }
    if file.starts_with("course") && !page.starts_with("course") {
        return Some("students do not get course/".to_string());
    }
    let anchor = anchor?;
    (!anchors(&read(&file)).contains(anchor)).then(|| format!("{} has no heading #{anchor}", file.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages = vec![PathBuf::from("README.md")];
    add_pages(Path::new("docs"), &mut pages);
    add_pages(Path::new("course"), &mut pages);
    let (mut count, mut faults) = (0, Vec::new());
    for page in &pages {
        for (number, line) in prose(&read(page)) {
            for target in targets(&line) {
                count += 1;
                if let Some(fault) = fault(page, &target) {
                    faults.push(format!("{}:{number}: ({target}): {fault}", page.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "links that lead nowhere:\n  {}", faults.join("\n  "));
    assert!(count > 10, "only {count} links were found in {} pages", pages.len());
}

#[test]
fn what_a_fault_is() {
    let of = |page: &str, target: &str| fault(Path::new(page), target);
    assert_eq!(of("README.md", "docs/lab2.md"), None);
    assert_eq!(of("README.md", "https://rustup.rs"), None);
    assert_eq!(of("docs/lab3.md", "lab2.md#2a-elections"), None);
    assert_eq!(of("README.md", "docs/lab9.md"), Some("there is no docs/lab9.md".to_string()));
    assert_eq!(of("docs/lab3.md", "../course/README.md"), Some("students do not get course/".to_string()));
    let no_heading = "docs/lab2.md has no heading #2d".to_string();
    assert_eq!(of("docs/lab3.md", "lab2.md#2d"), Some(no_heading));
    assert_eq!(targets("see [a](b.md) and [c](d.md#e)."), ["b.md", "d.md#e"]);
    let page = "a\n```\n[x](y)\n```\n    [x](y)\nb `[x](y)` c";
    assert_eq!(prose(page), [(1, "a".to_string()), (6, "b  c".to_string())]);
}
