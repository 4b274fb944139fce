//! Text for people. Control characters in names from files are escaped.

use std::borrow::Cow;

/// Whether a character controls a terminal, SVG or page instead of being displayed: control characters including line ends,
/// and invisible ones that change the direction of text.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn escape_where(text: &str, escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&escaped) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if escaped(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// A name on one line, such as a file's or a class's.
pub fn name(text: &str) -> Cow<'_, str> {
    escape_where(text, is_control)
}

/// Text of several lines: for a terminal, or a whole SVG or page.
pub fn lines(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| is_control(c) && c != '\n')
}

/// Equivalent JSON with control characters in strings as JSON escapes.
pub fn json(text: &str) -> String {
    let mut units = [0; 2];
    let shown = |c: char| match is_control(c) && c != '\n' {
        true => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// A number with thousands separators: `105,705,600`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// The three names most similar to `name`, as suggestions.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|candidate| strsim::damerau_levenshtein(name, candidate));
    names.truncate(3);
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(name("Schäfer 犬"), "Schäfer 犬");
        assert_eq!(name("a\u{1b}[31m\r\nb"), "a\\u{1b}[31m\\r\\nb");
        assert_eq!(name("\u{9b}2J\u{202e}gpj\u{7f}"), "\\u{9b}2J\\u{202e}gpj\\u{7f}");
        assert_eq!(lines("one\ntwo\t\u{7}\n"), "one\ntwo\\t\\u{7}\n");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let names = ["a\u{1b}\u{9b}b", "\u{202e}\u{7f}", "ä\u{feff}"];
        let text = json(&serde_json::to_string_pretty(&names).unwrap());
        assert!(!text.contains(|c| is_control(c) && c != '\n'), "{text}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), names);
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!([0, 999, 1000, 105_705_600].map(grouped), ["0", "999", "1,000", "105,705,600"]);
    }
}
