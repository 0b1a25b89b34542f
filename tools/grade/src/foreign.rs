//! Text that a student's code printed, or that a compiler printed about it.
//!
//! It is shown with a bar in front of each line, cut to a size, and without control characters: no line of it can be
//! taken for one of the grader's. Long lines are not wrapped.

/// How many bytes are shown of a failed test's output, and of the reason why it failed.
const SHOWN: usize = 4000;

/// How many characters are shown of a line in the table.
const SHOWN_LINE: usize = 160;

/// The text with a bar in front of each line.
pub fn quoted(text: &str) -> String {
    shown(text).lines().fold(String::new(), |all, line| all + "    | " + line + "\n")
}

/// As [`quoted`], without the bars: for a place where nothing else stands.
pub fn shown(text: &str) -> String {
    shortened(text, SHOWN)
}

/// The beginning and the end of a text, at most about `size` bytes in all, without control characters.
pub fn shortened(text: &str, size: usize) -> String {
    let text = clean(text);
    if text.len() <= size {
        return text;
    }
    let head = char_boundary(&text, size / 4);
    let tail = char_boundary(&text, text.len() - size * 3 / 4);
    format!("{}\n[{} bytes are left out]\n{}", &text[..head], tail - head, &text[tail..])
}

/// The first line of a text, cut to a size.
pub fn first_line(text: &str) -> String {
    let line = clean(text.trim_start().lines().next().unwrap_or_default());
    match line.char_indices().nth(SHOWN_LINE) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

/// The text with a blank for each control character.
pub fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The last place at or before `index` where the text can be cut (`str::floor_char_boundary` needs Rust 1.91).
fn char_boundary(text: &str, index: usize) -> usize {
    (0..=index).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The beginning and the end of a test's output, whose size has no bound.
#[derive(Default)]
pub struct Excerpt {
    head: Vec<u8>,
    tail: Vec<u8>,
    left_out: u64,
}

impl Excerpt {
    pub fn push(&mut self, text: &[u8]) {
        let (now, later) = text.split_at(text.len().min(SHOWN - self.head.len()));
        self.head.extend_from_slice(now);
        self.tail.extend_from_slice(later);
        // Shortening moves the whole tail, so it waits until the tail is long.
        if self.tail.len() > 64 * SHOWN {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let cut = self.tail.len().saturating_sub(SHOWN);
        self.left_out += cut as u64;
        self.tail.drain(..cut);
    }

    pub fn text(mut self) -> String {
        self.shorten();
        let [head, tail] = [&self.head, &self.tail].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        match self.left_out {
            0 => head + &tail,
            n => format!("{head}\n[{n} bytes are left out]\n{tail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_be_taken_for_ours() {
        let text = quoted("{\"scores\": {}}\r\n\n{\"scores\": {}}");
        assert!(text.lines().all(|line| line.starts_with("    | ")), "{text}");
        assert!(!text.contains('\r'));
        assert!(quoted(&"\u{e9}\n".repeat(100_000)).len() < 4 * SHOWN);
    }

    #[test]
    fn an_excerpt_has_the_beginning_and_the_end_of_any_output() {
        let mut excerpt = Excerpt::default();
        excerpt.push(b"begin\n");
        (0..100_000).for_each(|_| excerpt.push(b"tick tick tick\n"));
        excerpt.push(b"end\n");
        assert!(excerpt.tail.len() <= 64 * SHOWN);
        let text = excerpt.text();
        assert!(text.starts_with("begin\n") && text.ends_with("end\n") && text.len() < 3 * SHOWN);
        assert!(text.contains("bytes are left out"));
        let mut short = Excerpt::default();
        short.push(&[b'x'; SHOWN]);
        short.push(b"y");
        assert_eq!(short.text(), "x".repeat(SHOWN) + "y");
    }
}
