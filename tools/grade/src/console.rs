//! Prints, one thread at a time. After a call of [`last_word`], only its caller can print.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by the thread that prints.
static PRINTING: Mutex<()> = Mutex::new(());

pub fn say(line: &str) {
    print(&format!("{line}\n"));
}

pub fn print(text: &str) {
    let _printing = lock();
    write(text);
}

/// The right to print until the process ends.
pub struct LastWord(());

/// Silences all other threads until the process ends. A second caller waits for that end.
pub fn last_word() -> LastWord {
    std::mem::forget(lock());
    LastWord(())
}

impl LastWord {
    pub fn print(&self, text: &str) {
        write(text);
    }
}

fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // Ignore an error: when nobody reads the output, there is nobody to be told.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn lock() -> MutexGuard<'static, ()> {
    PRINTING.lock().unwrap_or_else(PoisonError::into_inner)
}
