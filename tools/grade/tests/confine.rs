//! What a confined program has and can do: the grader confines a shell, and the shell's output is read.

#![cfg(target_os = "linux")]

use std::process::Command;

/// What a confined shell prints for this script. The process that confines it inherits what `before` leaves in a shell.
fn confined(before: &str, script: &str) -> String {
    let start = format!("{before}; exec \"$0\" confine 1000000000 1000000 -- /bin/sh -c \"$1\"");
    let output = Command::new("/bin/sh")
        .args(["-c", &start, env!("CARGO_BIN_EXE_grade"), script])
        .output()
        .expect("there is a shell");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("the shell prints text")
}

#[test]
fn descriptors_of_the_caller_are_closed() {
    // The last one is that of the folder that ls reads.
    assert_eq!(confined("exec 7</dev/null 9>/dev/null", "ls /proc/self/fd"), "0\n1\n2\n3\n");
}

#[test]
fn files_have_a_largest_size() {
    let line = confined(":", "grep \"^Max file size\" /proc/self/limits");
    assert!(line.split_whitespace().any(|word| word == (256 << 20).to_string()), "{line}");
}
