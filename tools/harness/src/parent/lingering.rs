//! The threads of a process that does not end, and where the kernel says that they are (on Linux).

use std::fmt::Write;
use std::path::Path;

/// The largest number of threads that are listed.
const MOST: usize = 20;

/// The threads of a process, one a line behind a heading; empty where there is no /proc.
pub(super) fn threads(process: u32) -> String {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return String::new() };
    // The files of a thread that has just ended cannot be read.
    let threads: Vec<String> = tasks.flatten().filter_map(|task| thread(&task.path())).collect();
    let mut text = format!(". It has {} threads:", threads.len());
    for thread in threads.iter().take(MOST) {
        // Writing to a String does not fail.
        let _ = write!(text, "\n  {thread}");
    }
    if threads.len() > MOST {
        text += "\n  ...";
    }
    text
}

/// The name of a thread, its state, and where it waits. The kernel tells the place only to those who may debug the process.
fn thread(task: &Path) -> Option<String> {
    let read = |file: &str| std::fs::read_to_string(task.join(file)).ok();
    let (stat, name) = (read("stat")?, read("comm")?);
    let (_, rest) = stat.rsplit_once(')')?;
    let mut text = format!("\"{}\", {}", name.trim_end(), state(rest.split_whitespace().next()?));
    let said = |text: &String| !matches!(text.trim(), "" | "0");
    if let Some(place) = read("wchan").filter(said) {
        // Writing to a String does not fail.
        let _ = write!(text, " in {}", place.trim_end());
    }
    if let Some(call) = read("syscall").filter(said) {
        let _ = write!(text, ", system call {}", call.trim_end());
    }
    // The innermost functions of the kernel, which only root may read.
    for line in read("stack").iter().flat_map(|stack| stack.lines()).take(4) {
        let _ = write!(text, "\n    {line}");
    }
    Some(text)
}

/// The state letter of /proc in words.
fn state(letter: &str) -> &str {
    match letter {
        "R" => "running",
        "S" => "waiting",
        "D" => "waiting for a device",
        "T" | "t" => "stopped",
        "Z" | "X" => "ended",
        other => other,
    }
}
