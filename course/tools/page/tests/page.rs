//! A picture does in a browser what it is for: a copy of the page of a failed sample title, with `page_test.js` in it, is
//! opened in Chromium without a window, and says itself which of its checks it passed.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The programs that Chromium is called by.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

const CHECKS: &str = include_str!("page_test.js");

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
    // Chromium's own sandbox does not work for root; nothing but our page is opened.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.args(["--window-size=1280,800", "--virtual-time-budget=20000", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    let output = command.arg(format!("file://{}", page.display())).output().unwrap();
    let said = format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    (String::from_utf8_lossy(&output.stdout).into_owned(), said)
}

/// A new folder. Two browsers with one profile are one browser, of which one has no document; tests run at once.
fn folder() -> PathBuf {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("titles-page-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What `checks` say of the page of a sample title, which must be that all is well.
#[track_caller]
fn check(title: &str, environment: &[(&str, &str)], checks: &str) -> usize {
    let mut samples = Command::new(env!("CARGO_BIN_EXE_page-samples"));
    let output = samples.args(["--exact", title]).envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
    let page =
        said.lines().find_map(|line| line.strip_prefix("  picture: ")).unwrap_or_else(|| panic!("{said}"));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(!page.contains("http"), "it needs nothing from the network");

    let folder = folder();
    let copy = folder.join("page.html");
    std::fs::write(&copy, page.replace("</html>", &format!("<script>{checks}</script>\n</html>"))).unwrap();
    let (document, said) = document(&copy, &folder.join("profile"));
    // The browser's helpers may outlive it for a moment, and write there.
    let _ = std::fs::remove_dir_all(&folder);

    let results = document.split_once("<pre id=\"results\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (results, _) = results.unwrap_or_else(|| panic!("the checks did not end: {document}\n{said}"));
    println!("{results}");
    assert!(results.ends_with("end of the results") && !results.contains("FAILED: "), "{results}");
    results.matches("ok: ").count()
}

#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn a_page_is_used_by_keyboard_and_mouse() {
    assert!(check("breaks_a_history", &[], CHECKS) > 20);
}

#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn a_failure_of_a_server_is_on_its_lane() {
    let checks = r#"
        document.getElementById("failure").click();
        const one = picture.selected(), right = one.lane.name === "server 2" && one.what.includes("apply out of order");
        const made = document.createElement("pre");
        made.id = "results";
        made.textContent = `${right ? "ok" : "FAILED"}: ${one.lane.name}, ${one.what}\nend of the results`;
        document.body.append(made);"#;
    assert_eq!(check("panics_in_a_go_statement", &[], checks), 1);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu", not(lab_without_sim)))]
#[test]
#[ignore = "needs chromium; make page-check runs it"]
fn a_simulated_failure_says_how_it_is_replayed() {
    assert!(check("breaks_a_history", &[("LAB_SIM", "1"), ("LAB_SEED", "7")], CHECKS) > 20);
    let checks = r#"
        const said = document.getElementById("remarks").innerText;
        const right = said.includes("simulation, seed 7") && said.includes("LAB_SIM=1 LAB_SEED=7");
        const made = document.createElement("pre");
        made.id = "results";
        made.textContent = `${right ? "ok" : "FAILED"}: ${said}\nend of the results`;
        document.body.append(made);"#;
    assert_eq!(check("panics_in_a_go_statement", &[("LAB_SIM", "1"), ("LAB_SEED", "7")], checks), 1);
}
