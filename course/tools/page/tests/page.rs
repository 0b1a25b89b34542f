//! Uses pictures in a browser: Chromium opens a copy of the page of a failed sample test, without a window. Checks in the
//! copy, such as `page_test.js`, use the page and write into it what they found.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The names of Chromium's program.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

const RUNS_CHECKS: &str = include_str!("checks.js");

const CHECKS: &str = include_str!("page_test.js");

const CHECKS_OF_MESSAGES: &str = include_str!("messages_test.js");

const CHECKS_OF_ELECTIONS: &str = include_str!("elections_test.js");

const CHECKS_OF_A_HANG: &str = include_str!("hang_test.js");

const CHECKS_OF_INVENTED_DATA: &str = include_str!("invented_test.js");

/// The data of a test that never ran: it has each case that the checks need, at times that are known.
const INVENTED: [(&str, &str); 2] =
    [("data", include_str!("invented_data.json")), ("messages", include_str!("invented_messages.json"))];

fn browser() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let programs = BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = programs.into_iter().find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("none of {BROWSERS:?} is there; on Debian: apt-get install chromium"))
}

/// The page's document, when its scripts have run, and what the browser said.
fn document(page: &Path, profile: &Path) -> (String, String) {
    let mut command = Command::new(browser());
    // Chromium's own sandbox does not work for root. Only our page is opened.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.args(["--window-size=1280,800", "--virtual-time-budget=20000", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    let output = command.arg(format!("file://{}", page.display())).output().unwrap();
    let said = format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    (String::from_utf8_lossy(&output.stdout).into_owned(), said)
}

/// The page of a sample test that fails.
#[track_caller]
fn page_of(test: &str, environment: &[(&str, &str)]) -> String {
    let mut samples = Command::new(env!("CARGO_BIN_EXE_page-samples"));
    let output = samples.args(["--exact", test]).envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
    let page =
        said.lines().find_map(|line| line.strip_prefix("  picture: ")).unwrap_or_else(|| panic!("{said}"));
    std::fs::read_to_string(page).unwrap()
}

/// Adds `checks` to the page of a sample test, opens it, and returns how many of them are well. None may fail.
#[track_caller]
fn check(test: &str, environment: &[(&str, &str)], checks: &str) -> usize {
    check_page(&page_of(test, environment), checks)
}

/// The same for a page.
#[track_caller]
fn check_page(page: &str, checks: &str) -> usize {
    assert!(!page.contains("http"), "it needs nothing from the network");

    // A folder for each browser: two browsers with one profile are one browser, and one of the two has no document.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("page.html");
    let scripts = format!("<script>{RUNS_CHECKS}</script>\n<script>{checks}</script>\n</html>");
    std::fs::write(&copy, page.replace("</html>", &scripts)).unwrap();
    let (document, said) = document(&copy, &folder.path().join("profile"));
    // Ignore the error: the browser's helpers may outlive it for a moment, and write there.
    let _ = folder.close();

    let results = document.split_once("<pre id=\"results\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (results, _) = results.unwrap_or_else(|| panic!("the checks did not end: {document}\n{said}"));
    println!("{results}");
    assert!(results.ends_with("end of the results") && !results.contains("FAILED: "), "{results}");
    results.matches("ok: ").count()
}

/// The page with other data in the script elements with these ids.
fn with_data(page: &str, data: &[(&str, &str)]) -> String {
    let replaced = |page: String, (id, data): &(&str, &str)| {
        let (before, rest) = page.split_once(&format!(" id=\"{id}\">")).unwrap();
        let (_, after) = rest.split_once("</script>").unwrap();
        format!("{before} id=\"{id}\">{data}</script>{after}")
    };
    data.iter().fold(page.to_string(), replaced)
}

#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn a_page_is_used_by_keyboard_and_mouse() {
    assert!(check("breaks_a_history", &[], CHECKS) > 20);
}

#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn messages_are_followed() {
    assert!(check("exchanges_messages", &[], CHECKS_OF_MESSAGES) > 20);
}

#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn a_failure_is_followed_to_what_it_comes_from() {
    assert!(check("elects_two_leaders", &[], CHECKS_OF_ELECTIONS) > 30);
}

#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn a_hang_is_told() {
    assert!(check("holds_a_lock_across_an_rpc", &[("SAMPLE_LIMIT", "2")], CHECKS_OF_A_HANG) > 8);
}

#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn invented_data_is_drawn_and_told() {
    let page = with_data(&page_of("breaks_a_history", &[]), &INVENTED);
    assert!(check_page(&page, CHECKS_OF_INVENTED_DATA) > 40);
}

/// A check that is an expression, and the text to show beside it.
fn one(check: &str, text: &str) -> String {
    format!(
        r#"
        document.getElementById("failure").click();
        const one = picture.selected(), said = document.getElementById("remarks").innerText;
        const find = document.getElementById("find").value;
        const made = document.createElement("pre");
        made.id = "results";
        made.textContent = `${{{check} ? "ok" : "FAILED"}}: ${{{text}}}\nend of the results`;
        document.body.append(made);"#
    )
}

#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn a_failure_of_a_server_is_on_its_lane() {
    for (test, server, what) in [
        ("panics_in_a_go_statement", 2, "apply out of order"),
        ("leaves_a_go_statement", 3, "1 thread is left"),
    ] {
        let is_there = format!("one.lane.name === \"server {server}\" && one.what.includes(\"{what}\")");
        let environment = [("LAB_STRICT", "1")];
        assert_eq!(check(test, &environment, &one(&is_there, "one.lane.name + one.what")), 1);
    }
}

#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn a_missing_element_is_looked_for() {
    assert_eq!(check("misses_an_element", &[], &one("find === \"x 0 1 y\"", "find")), 1);
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_env = "gnu",
    not(lab_without_sim)
))]
#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn a_simulated_failure_says_how_it_is_replayed() {
    let environment = [("LAB_SIM", "1"), ("LAB_SEED", "7")];
    assert!(check("breaks_a_history", &environment, CHECKS) > 20);
    let is_said = "said.includes(\"simulation, seed 7\") && said.includes(\"LAB_SIM=1 LAB_SEED=7\")";
    assert_eq!(check("panics_in_a_go_statement", &environment, &one(is_said, "said")), 1);
}
