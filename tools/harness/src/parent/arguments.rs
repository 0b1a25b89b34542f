//! The command line of a test program: libtest's, and what a user of `go test` types.

use super::names;
use libtest_mimic::{ColorSetting, FormatSetting};
use std::fmt;

/// The text that `--help` prints.
pub(super) const HELP: &str = "\
Usage: cargo test -p PACKAGE [FILTER]... [-- OPTION...]

Runs the tests whose names contain one of the filters; all tests without a filter. A filter may be a Go name, such as
TestBasic3A, and may be written with capitals. A filter that matches no test fails with exit code 4.

Each test runs in a process of its own, one test at a time, and prints while it runs: nothing is captured.
docs/variables.md lists the environment variables that change how tests run (LAB_SIM=1 simulates them).

Options:
      --list             Print the names of the tests, and run none
      --exact            A filter must be the whole name
      --skip FILTER      Leave out the tests whose names contain FILTER; may be given several times
      --ignored          Run only the ignored tests: where there is no simulator, those that need one
      --include-ignored  Run the ignored tests too
  -q, --quiet            Print one character for each test beside the test's own lines; same as --format terse
      --format FORMAT    pretty, terse or json
      --color WHEN       auto, always or never
      --nocapture, --no-capture, --show-output, --test, -Z OPTION
                         Change nothing; accepted because cargo test and editors pass them
      --test-threads N   Changes nothing: tests that measure time and count RPCs run one at a time, and simulations
                         use every processor
  -run FILTER, -v        As for go test
  -h, --help             Print this text

Exit codes: 0 all tests passed; 101 a test failed; 2 the command line or a variable is wrong; 4 no test matches.
";

/// What libtest or `go test` offers and these programs do not, and what to do instead.
const NOT_OFFERED: [(&[&str], &str); 9] = [
    (
        &["--bench", "-bench", "-benchtime", "-benchmem"],
        "there are no benchmarks here; labrpc's test_benchmark prints its figure",
    ),
    (
        &["-count", "--count", "-test.count"],
        "repeat the command in a loop of the shell: for i in $(seq 10); do cargo test ... || break; done",
    ),
    (&["-race", "--race"], "not needed: in safe Rust a data race does not compile"),
    (&["-timeout", "--timeout"], "each test has a limit of its own, which cannot be changed"),
    (&["-failfast", "-short", "-parallel", "-cover", "-cpu"], "leave it out"),
    (&["-list"], "it is --list here"),
    (&["--logfile"], "redirect the output instead: cargo test ... > file"),
    (&["--shuffle", "--shuffle-seed"], "tests run in the Go lab's order, each in a process of its own"),
    (
        &[
            "--report-time",
            "--ensure-time",
            "--force-run-in-process",
            "--exclude-should-panic",
            "--fail-fast",
        ],
        "leave it out; each test prints how long it took",
    ),
];

/// What the command line asks for.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) filters: Vec<String>,
    pub(super) skip: Vec<String>,
    pub(super) exact: bool,
    pub(super) list: bool,
    pub(super) help: bool,
    pub(super) ignored: bool,
    pub(super) include_ignored: bool,
    pub(super) format: Option<FormatSetting>,
    pub(super) color: Option<ColorSetting>,
}

/// An option that makes no sense. The message says what to do instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ArgumentError {
    /// There is no such option.
    Unknown(String),
    /// libtest or `go test` has this option.
    NotOffered { option: String, instead: &'static str },
    /// The option needs a value.
    NoValue(String),
    /// The option cannot have this value.
    WrongValue { option: String, value: String, allowed: &'static str },
    /// The option takes no value.
    NeedsNone(String),
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgumentError::Unknown(option) => {
                write!(f, "{option}: there is no such option; `cargo test -p PACKAGE -- --help` lists all")
            }
            ArgumentError::NotOffered { option, instead } => {
                write!(f, "{option} is not offered here: {instead}")
            }
            ArgumentError::NoValue(option) => write!(f, "{option}: its value is missing"),
            ArgumentError::WrongValue { option, value, allowed } => {
                write!(f, "{option} {value}: it must be {allowed}")
            }
            ArgumentError::NeedsNone(option) => write!(f, "{option} takes no value"),
        }
    }
}

impl std::error::Error for ArgumentError {}

impl Arguments {
    /// Reads a command line without the program's name.
    pub(super) fn parse(words: impl IntoIterator<Item = String>) -> Result<Arguments, ArgumentError> {
        let mut arguments = Arguments::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                arguments.filters.extend(words.by_ref());
            } else if word.starts_with('-') && word != "-" {
                arguments.option(&word, &mut words)?;
            } else {
                arguments.filters.push(word);
            }
        }
        Ok(arguments)
    }

    fn option(&mut self, word: &str, words: &mut impl Iterator<Item = String>) -> Result<(), ArgumentError> {
        let (option, attached) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_string())),
            None => (word, None),
        };
        let has_value = attached.is_some();
        let value = || attached.or_else(|| words.next()).ok_or(ArgumentError::NoValue(option.to_string()));
        let wrong =
            |value: String, allowed| ArgumentError::WrongValue { option: option.to_string(), value, allowed };
        match option {
            "--skip" => self.skip.push(value()?),
            "-run" | "--run" | "-test.run" => self.filters.push(value()?),
            "--format" => {
                self.format = Some(match value()?.as_str() {
                    "pretty" => FormatSetting::Pretty,
                    "terse" => FormatSetting::Terse,
                    "json" => FormatSetting::Json,
                    other => return Err(wrong(other.to_string(), "pretty, terse or json")),
                });
            }
            "--color" => {
                self.color = Some(match value()?.as_str() {
                    "auto" => ColorSetting::Auto,
                    "always" => ColorSetting::Always,
                    "never" => ColorSetting::Never,
                    other => return Err(wrong(other.to_string(), "auto, always or never")),
                });
            }
            "--test-threads" => {
                let value = value()?;
                if !value.parse().is_ok_and(|threads: usize| threads > 0) {
                    return Err(wrong(value, "a whole number from 1 on"));
                }
            }
            "-Z" => drop(value()?),
            _ => {
                if let Some((_, instead)) = NOT_OFFERED.iter().find(|(options, _)| options.contains(&option))
                {
                    return Err(ArgumentError::NotOffered { option: option.to_string(), instead });
                }
                match option {
                    "--list" => self.list = true,
                    "--exact" => self.exact = true,
                    "--ignored" => self.ignored = true,
                    "--include-ignored" => self.include_ignored = true,
                    "-q" | "--quiet" => self.format = Some(FormatSetting::Terse),
                    "-h" | "--help" => self.help = true,
                    "--nocapture" | "--no-capture" | "--show-output" | "--test" | "-v" | "-test.v" => {}
                    _ if option.starts_with("-Z") => {}
                    _ => return Err(ArgumentError::Unknown(option.to_string())),
                }
                if has_value {
                    return Err(ArgumentError::NeedsNone(option.to_string()));
                }
            }
        }
        Ok(())
    }

    /// The filters that match none of these names.
    pub(super) fn unmatched<'a>(&'a self, names: &[&str]) -> Vec<&'a str> {
        let filters = self.filters.iter().map(String::as_str);
        filters.filter(|filter| names::matching(filter, self.exact, names).is_empty()).collect()
    }

    /// Those of these names that are wanted, in their order.
    pub(super) fn wanted<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        let any = |filters: &[String]| -> Vec<&'a str> {
            filters.iter().flat_map(|filter| names::matching(filter, self.exact, names)).collect()
        };
        let (kept, skipped) = (any(&self.filters), any(&self.skip));
        let is_wanted =
            |name: &&&'a str| (self.filters.is_empty() || kept.contains(*name)) && !skipped.contains(*name);
        names.iter().filter(is_wanted).copied().collect()
    }

    /// As libtest-mimic wants it, to run `wanted` of `names`, `threads` at a time.
    pub(super) fn to_mimic(
        &self,
        names: &[&str],
        wanted: &[&str],
        threads: usize,
    ) -> libtest_mimic::Arguments {
        let others = names.iter().filter(|name| !wanted.contains(name));
        libtest_mimic::Arguments {
            // It takes one filter only, so it is told what to leave out. It then also counts what it has left out.
            exact: true,
            skip: others.map(|name| name.to_string()).collect(),
            test_threads: Some(threads),
            ignored: self.ignored,
            include_ignored: self.include_ignored,
            format: self.format,
            color: self.color,
            ..libtest_mimic::Arguments::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, ArgumentError> {
        Arguments::parse(line.split_whitespace().map(str::to_string))
    }

    const NAMES: [&str; 3] = ["test_basic_3a", "test_concurrent_3a", "test_snapshot_rpc_3b"];

    #[test]
    fn several_filters_and_several_skips() {
        let wanted = |line| parse(line).unwrap().wanted(&NAMES);
        assert_eq!(wanted(""), NAMES);
        assert_eq!(wanted("snapshot basic"), ["test_basic_3a", "test_snapshot_rpc_3b"]);
        assert_eq!(wanted("--skip 3b --skip=Basic"), ["test_concurrent_3a"]);
        assert_eq!(wanted("-run 3A -v --skip TestBasic3A"), ["test_concurrent_3a"]);
        assert_eq!(wanted("--exact test_basic_3a --nocapture"), ["test_basic_3a"]);
        assert_eq!(wanted("3a --skip test"), [""; 0]);
    }

    #[test]
    fn a_filter_that_matches_nothing_is_found_among_others() {
        let arguments = parse("basic nothing 3A").unwrap();
        assert_eq!(arguments.unmatched(&NAMES), ["nothing"]);
        assert_eq!(parse("--exact basic").unwrap().unmatched(&NAMES), ["basic"]);
        assert_eq!(parse("").unwrap().unmatched(&NAMES), [""; 0]);
    }

    /// The words that cargo-nextest, rust-analyzer and RustRover pass.
    #[test]
    fn what_tools_pass_is_accepted() {
        for line in [
            "--list --format terse --ignored",
            "--exact test_basic_3a --nocapture",
            "test_basic_3a --exact --no-capture --show-output",
            "--format=json -Z unstable-options --show-output --test-threads=4",
            "-Zunstable-options -q --color=always --include-ignored",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_is_not_offered_is_refused_in_one_sentence() {
        for (line, message) in [
            ("--speed", "--speed: there is no such option; `cargo test -p PACKAGE -- --help` lists all"),
            ("-race", "-race is not offered here: not needed: in safe Rust a data race does not compile"),
            ("--shuffle", "--shuffle is not offered here: tests run in the Go lab's order"),
            ("--skip", "--skip: its value is missing"),
            ("--format=xml", "--format xml: it must be pretty, terse or json"),
            ("--test-threads 0", "--test-threads 0: it must be a whole number from 1 on"),
            ("--list=all", "--list takes no value"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.starts_with(message) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn the_help_names_every_option() {
        for option in
            ["--list", "--exact", "--skip", "--ignored", "--nocapture", "--test-threads", "-run", "-v"]
        {
            assert!(HELP.contains(option), "{option}");
        }
        assert!(parse("-h").unwrap().help && parse("--help").unwrap().help);
    }
}
