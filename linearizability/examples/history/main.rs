//! Checks a history that Jepsen has recorded, and draws it as an HTML page.
//!
//!     cargo run -p linearizability --example history -- FILE.edn [PAGE.html]
//!
//! The file has one operation's call or return a line, in EDN, as in Jepsen's `history.edn`:
//!
//!     {:process 0, :type :invoke, :f :write, :value 3, :time 1000}
//!     {:process 0, :type :ok, :f :write, :value 3, :time 2000}
//!
//! The object is a register: `:f` is `:read`, `:write` or `:cas`, and values are numbers or nil. The exit code is 0 if the
//! history is linearizable, 1 if it is not, and 2 if that could not be found out.

mod edn;
mod page;

use linearizability::{CasModel, CheckResult, explain_operations};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long the search may take.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(file) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: history FILE.edn [PAGE.html]");
        return ExitCode::from(2);
    };
    let page = arguments.next().map_or_else(|| file.with_extension("html"), PathBuf::from);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) => return fail(&format!("cannot read {}: {e}", file.display())),
    };
    let history = match edn::history(&text) {
        Ok(history) => history,
        Err(e) => return fail(&format!("{}: {e}", file.display())),
    };
    let edn::History { operations, clients } = history;
    let explanation = explain_operations(&CasModel, &operations, LIMIT);
    let title = file.display().to_string();
    let drawn = page::html(&title, &CasModel, &operations, &clients, &explanation);
    if let Err(e) = std::fs::write(&page, drawn) {
        return fail(&format!("cannot write {}: {e}", page.display()));
    }
    let (verdict, code) = match explanation.result {
        CheckResult::Ok => ("linearizable", 0),
        CheckResult::Illegal => ("not linearizable", 1),
        CheckResult::Unknown => ("not decided within a minute", 2),
    };
    println!("{} operations: {verdict}\n{}", operations.len(), page.display());
    ExitCode::from(code)
}

fn fail(message: &str) -> ExitCode {
    eprintln!("history: {message}");
    ExitCode::from(2)
}
