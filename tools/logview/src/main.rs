//! Shows a test's log in a terminal, with a column and a colour for each server.
//!
//!     RUST_LOG=debug cargo test -p raft test_backup_2b 2>&1 | cargo run -q -p logview
//!     cargo run -q -p logview -- target/pictures/test_backup_2b.log
//!
//! Lines that do not belong to a log, such as the test's verdict, are shown as they are.
#![forbid(unsafe_code)]

mod line;
mod view;

use anyhow::Context;
use clap::Parser;
use line::Line;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use view::{Style, View};

/// The number of columns while the number of servers is not known.
const FEWEST: usize = 3;

/// The width of the view when the width of the terminal is not known.
const USUAL_WIDTH: usize = 120;

/// Shows a test's log, with a column for each server.
///
/// Each line has the role and the term in which its server was last seen (L5: leader in term 5, F5: follower or candidate),
/// what its thread does, and its text.
#[derive(Parser)]
#[command(name = "logview")]
struct Arguments {
    /// A saved log, such as target/pictures/test_backup_2b.log; without it, standard input is shown live
    file: Option<PathBuf>,
    /// Only these topics, by parts of their names: vote,append
    #[arg(long, value_delimiter = ',')]
    topics: Vec<String>,
    /// All topics except these, by parts of their names
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Only these servers: 0,2
    #[arg(long, value_delimiter = ',')]
    servers: Vec<usize>,
    /// Only lines from this time on, in milliseconds since the test began, as in the log: 1200
    #[arg(long, value_name = "MS")]
    from: Option<f64>,
    /// Only lines up to this time, in milliseconds: 1300.5
    #[arg(long, value_name = "MS")]
    to: Option<f64>,
    /// Lists the topics, and how many lines each has
    #[arg(long)]
    list: bool,
    /// The width of the view in characters; without it, the width of the terminal
    #[arg(long)]
    width: Option<usize>,
    /// Uses colours even if the output is not a terminal, for example for less -R
    #[arg(long)]
    color: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has ended: head has its lines, or the user has quit less.
        Err(e) if e.downcast_ref().map(std::io::Error::kind) == Some(ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("logview: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Some(path) = &arguments.file else {
        if std::io::stdin().is_terminal() {
            eprintln!(
                "logview: waits for a log on standard input. To see a saved log, name its file: logview \
                 target/pictures/TEST.log (Ctrl-C ends this)"
            );
        }
        return show(std::io::stdin().lock(), FEWEST, arguments);
    };
    let of_file = || path.display().to_string();
    let open = || File::open(path).map(BufReader::new);
    // Read the file twice: the first time, count the servers.
    let mut columns = 0;
    for line in lines(open().with_context(of_file)?) {
        columns = line.with_context(of_file)?.server().map_or(columns, |server| columns.max(server + 1));
    }
    show(open().with_context(of_file)?, columns, arguments)
}

fn lines(input: impl BufRead) -> impl Iterator<Item = std::io::Result<Line>> {
    input.split(b'\n').map(|line| Ok(Line::parse(&String::from_utf8_lossy(&line?))))
}

fn show(input: impl BufRead, columns: usize, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.list {
        return list(input);
    }
    let stdout = std::io::stdout();
    let colours = arguments.color || stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let terminal = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    let terminal = terminal.filter(|width| *width > 0);
    let style = Style { width: arguments.width.or(terminal).unwrap_or(USUAL_WIDTH), colours };
    let mut view = View::new(style, &arguments.servers, columns);
    // Whether the last line is shown; a continuation is shown if the line that it continues is.
    let mut shown = true;
    for line in lines(input) {
        let line = line?;
        shown = match &line {
            Line::Log(log) => is_wanted(&log.topic, arguments) && is_in_time(log.at, arguments),
            Line::Continued(_) => shown,
            Line::Other(_) => true,
        };
        if shown {
            // Flush each line: somebody may watch the log live.
            let mut out = stdout.lock();
            out.write_all(view.show(&line).as_bytes())?;
            out.flush()?;
        }
    }
    Ok(())
}

fn is_wanted(topic: &str, arguments: &Arguments) -> bool {
    let topic = topic.to_lowercase();
    let has = |parts: &[String]| parts.iter().any(|part| topic.contains(&part.to_lowercase()));
    (arguments.topics.is_empty() || has(&arguments.topics)) && !has(&arguments.without)
}

fn is_in_time(at: Duration, Arguments { from, to, .. }: &Arguments) -> bool {
    let at = at.as_secs_f64() * 1e3;
    from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to)
}

/// Prints the topics, the most frequent first.
fn list(input: impl BufRead) -> anyhow::Result<()> {
    let mut counts = std::collections::BTreeMap::new();
    for line in lines(input) {
        if let Line::Log(log) = line? {
            *counts.entry(log.topic).or_insert(0) += 1;
        }
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut out = std::io::stdout().lock();
    counts.iter().try_for_each(|(topic, count)| writeln!(out, "{count:8} {topic}"))?;
    Ok(())
}
