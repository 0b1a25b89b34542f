//! The tables of docs/go-to-rust.md. There is one for each Go file, and it has four columns.

/// A row of a table: names of one Go file, and the Rust names that stand for them.
pub struct Row {
    /// The number of the line, for messages.
    pub line: usize,
    /// The Go file, which is the heading above the table: "raft/config.go".
    pub go_file: String,
    /// Names that the Go file declares.
    pub go: Vec<String>,
    /// The Rust names.
    pub rust: Vec<String>,
    /// The Rust files. Each Rust name is in one of them.
    pub files: Vec<String>,
}

/// The rows of a page, and the faults of its form.
pub struct Page {
    /// The rows of all tables.
    pub rows: Vec<Row>,
    /// Rows that do not have four columns.
    pub errors: Vec<String>,
}

impl Page {
    /// Reads the tables under the headings of the third level.
    pub fn parse(text: &str) -> Page {
        let mut page = Page { rows: Vec::new(), errors: Vec::new() };
        let mut go_file = None;
        for (line, text) in (1..).zip(text.lines()) {
            if let Some(heading) = text.strip_prefix("### ") {
                go_file = Some(heading.trim().to_string());
            } else if text.starts_with("## ") {
                go_file = None;
            } else if let (Some(go_file), true) = (&go_file, text.starts_with('|')) {
                let cells: Vec<&str> = text.trim_matches('|').split('|').map(str::trim).collect();
                let [go, rust, files, _] = cells[..] else {
                    page.errors.push(format!("line {line}: {} columns, not 4: {text}", cells.len()));
                    continue;
                };
                if go != "Go" && !go.starts_with("---") {
                    let (go, rust, files) = (code(go), code(rust), code(files));
                    page.rows.push(Row { line, go_file: go_file.clone(), go, rust, files });
                }
            }
        }
        page
    }
}

/// The texts between backticks.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_string).collect()
}
