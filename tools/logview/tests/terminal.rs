//! The program as it is called: with a file, or with a pipe that goes on.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const LOG: &str = "\
# Test: sample (passes)
     1.000 S0  F0   RequestVote    votes for 1
     2.000 S1  L1   AppendEntries  appends
     3.000 S4  F1   AppendEntries  takes
";

fn logview(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logview"));
    command.args(arguments).args(["--width", "200"]).env_remove("NO_COLOR");
    command
}

/// Runs it on a file with the log.
#[track_caller]
fn of_file(arguments: &[&str]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(LOG.as_bytes()).unwrap();
    let output = logview(arguments).arg(file.path()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_saved_log_has_as_many_columns_as_servers() {
    let text = of_file(&[]);
    assert!(text.contains("server 0") && text.contains("server 4") && !text.contains("server 5"), "{text}");
    assert!(
        text.starts_with("# Test: sample (passes)\n") && text.contains("L1 AppendEntries: appends"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colours into a file: {text}");
}

#[test]
fn topics_are_chosen_by_parts_of_their_names() {
    let text = of_file(&["--topics", "vote"]);
    assert!(text.contains("votes for 1") && !text.contains("AppendEntries"), "{text}");
    let text = of_file(&["--without", "vote,heartbeat"]);
    assert!(text.contains("appends") && !text.contains("votes for 1"), "{text}");
    assert_eq!(of_file(&["--list"]), "       2 AppendEntries\n       1 RequestVote\n");
    let text = of_file(&["--color", "--servers", "1"]);
    assert!(text.contains("\x1b[33mL1 AppendEntries") && !text.contains("takes"), "{text}");
}

#[test]
fn a_time_range_is_chosen() {
    let text = of_file(&["--from", "2", "--to", "2.5"]);
    assert!(text.contains("appends") && !text.contains("votes for 1") && !text.contains("takes"), "{text}");
}

/// A line is shown when it comes, not when the test ends.
#[test]
fn a_live_log_is_shown_line_by_line() {
    let mut child = logview(&[]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    writeln!(input, "     1.000 S0  F0   ticker         wakes").unwrap();
    assert!(output.next().unwrap().contains("server 2"));
    assert!(output.next().unwrap().contains("F0 ticker: wakes"));
    writeln!(input, "  ... Passed --   0.0  3    12    1").unwrap();
    assert!(output.next().unwrap().contains("... Passed"));
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = logview(&["no/such.log"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("logview: no/such.log: No such file"));
}
