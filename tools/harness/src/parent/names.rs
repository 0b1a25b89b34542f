//! Which tests a filter means: a part of a name, as for libtest, or a name or pattern as for `go test`.

/// Those of `names` that the filter matches, in their order. The filter is a part of the name, or the whole name if
/// `exact`. If it matches nothing this way, it is read as Go reads it: `TestBasic3A` is `test_basic_3a`, `3A` is a part of
/// it, and `|`, `^` and `$` have Go's meaning.
pub(super) fn matching<'a>(filter: &str, exact: bool, names: &[&'a str]) -> Vec<&'a str> {
    let select = |matches: &dyn Fn(&str) -> bool| -> Vec<&'a str> {
        names.iter().copied().filter(|name| matches(name)).collect()
    };
    let literally = select(&|name| if exact { name == filter } else { name.contains(filter) });
    if !literally.is_empty() {
        return literally;
    }
    let patterns: Vec<Pattern> = filter.split('|').filter_map(|text| Pattern::new(text, exact)).collect();
    let by_pattern = select(&|name| patterns.iter().any(|pattern| pattern.matches(name)));
    if !by_pattern.is_empty() {
        return by_pattern;
    }
    // Go's TestOnePartition3A is three tests here, which have more words between its own.
    select(&|name| patterns.iter().any(|pattern| pattern.begins_and_ends(name)))
}

/// Up to three of `names` that may have been meant, the likeliest first.
pub(super) fn similar<'a>(filter: &str, names: &[&'a str]) -> Vec<&'a str> {
    let filter = plain(filter);
    let mut near: Vec<(usize, &str)> =
        names.iter().map(|name| (distance(&filter, &plain(name)), *name)).collect();
    near.retain(|(distance, _)| *distance * 3 <= filter.len());
    // A stable sort: of two that are as near, the first stays the first.
    near.sort_by_key(|(distance, _)| *distance);
    let least = near.first().map_or(0, |(distance, _)| *distance);
    near.into_iter().filter(|(distance, _)| *distance == least).map(|(_, name)| name).take(3).collect()
}

/// One alternative of a Go pattern.
struct Pattern {
    text: String,
    from_start: bool,
    to_end: bool,
}

impl Pattern {
    /// None: nothing is left of the text.
    fn new(text: &str, exact: bool) -> Option<Pattern> {
        let start = text.strip_prefix('^');
        let text = start.unwrap_or(text);
        let end = text.strip_suffix('$');
        let pattern = Pattern {
            text: plain(end.unwrap_or(text)),
            from_start: exact || start.is_some(),
            to_end: exact || end.is_some(),
        };
        Some(pattern).filter(|pattern| !pattern.text.is_empty())
    }

    fn matches(&self, name: &str) -> bool {
        let name = plain(name);
        match (self.from_start, self.to_end) {
            (true, true) => name == self.text,
            (true, false) => name.starts_with(&self.text),
            (false, true) => name.ends_with(&self.text),
            (false, false) => name.contains(&self.text),
        }
    }

    /// Whether this is a Go name, and `name` begins with its words and ends with its part of the lab (`3A`).
    fn begins_and_ends(&self, name: &str) -> bool {
        let name = plain(name);
        let Some((words, part)) =
            self.text.len().checked_sub(2).and_then(|at| self.text.split_at_checked(at))
        else {
            return false;
        };
        words.len() > "test".len()
            && words.starts_with("test")
            && name.starts_with(words)
            && part.starts_with(|c: char| c.is_ascii_digit())
            && name.ends_with(part)
    }
}

/// A name without what Go and Rust write differently: `testbasic3a`.
fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

/// How many letters must be inserted, deleted or replaced to make `text` a part of `name`.
fn distance(text: &str, name: &str) -> usize {
    let name: Vec<char> = name.chars().collect();
    let mut row = vec![0; name.len() + 1];
    for (i, a) in text.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in name.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.into_iter().min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = [
        "test_basic_3a",
        "test_concurrent_3a",
        "test_one_partition_progress_in_majority_3a",
        "test_one_partition_completion_after_heal_3a",
        "test_persist1_2c",
        "test_snapshot_rpc_3b",
        "test_figure8_2c",
        "test_figure8_unreliable_2c",
    ];

    #[track_caller]
    fn check(filter: &str, wanted: &[&str]) {
        assert_eq!(matching(filter, false, &NAMES), wanted, "{filter}");
    }

    #[test]
    fn a_part_of_a_name_is_taken_literally_first() {
        check("basic", &["test_basic_3a"]);
        check("_2", &["test_persist1_2c", "test_figure8_2c", "test_figure8_unreliable_2c"]);
    }

    #[test]
    fn go_names_and_patterns_work() {
        check("TestBasic3A", &["test_basic_3a"]);
        check("TestPersist12C", &["test_persist1_2c"]);
        check("TestSnapshotRPC3B", &["test_snapshot_rpc_3b"]);
        check("TestFigure82C", &["test_figure8_2c"]);
        check("3A", &NAMES[..4]);
        check("Basic", &["test_basic_3a"]);
        check("TestBasic3A|TestConcurrent", &["test_basic_3a", "test_concurrent_3a"]);
        check("^TestFigure8", &["test_figure8_2c", "test_figure8_unreliable_2c"]);
        check("2C$", &["test_persist1_2c", "test_figure8_2c", "test_figure8_unreliable_2c"]);
        check("TestOnePartition3A", &NAMES[2..4]);
        check("TestNothing3A", &[]);
        check("^", &[]);
    }

    #[test]
    fn exact_is_the_whole_name_in_either_language() {
        assert_eq!(matching("test_figure8_2c", true, &NAMES), ["test_figure8_2c"]);
        assert_eq!(matching("TestFigure82C", true, &NAMES), ["test_figure8_2c"]);
        assert_eq!(matching("figure8", true, &NAMES), [""; 0]);
    }

    #[test]
    fn what_was_meant_is_offered() {
        assert_eq!(similar("TestBasik3A", &NAMES), ["test_basic_3a"]);
        assert_eq!(similar("concurent", &NAMES), ["test_concurrent_3a"]);
        assert_eq!(similar("figure9", &NAMES), ["test_figure8_2c", "test_figure8_unreliable_2c"]);
        assert_eq!(similar("speed", &NAMES), [""; 0]);
    }
}
