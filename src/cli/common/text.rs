//! Text for people: names that others chose are shown with their control characters escaped.

use std::borrow::Cow;

/// Whether a character acts on a terminal, an SVG or a page instead of being seen: control characters, of which a line's
/// end is one, and those that turn the direction of text around or hide in it.
fn acts(c: char) -> bool {
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
    escape_where(text, acts)
}

/// Text of several lines: for a terminal, or the whole of an SVG or a page.
pub fn lines(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| acts(c) && c != '\n')
}

/// JSON, where such characters are within strings: the same JSON, with them as JSON escapes them.
pub fn json(text: &str) -> String {
    let mut units = [0; 2];
    let shown = |c: char| match acts(c) && c != '\n' {
        true => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// A number with its thousands apart: `105,705,600`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let start = digits.len() % 3;
    let parts =
        [&digits[..start]].into_iter().chain((start..digits.len()).step_by(3).map(|i| &digits[i..i + 3]));
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",")
}

/// The three names most like one, to be offered instead.
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
    fn what_acts_is_seen_instead() {
        assert_eq!(name("Schäfer 犬"), "Schäfer 犬");
        assert_eq!(name("a\u{1b}[31m\r\nb"), "a\\u{1b}[31m\\r\\nb");
        assert_eq!(name("\u{9b}2J\u{202e}gpj\u{7f}"), "\\u{9b}2J\\u{202e}gpj\\u{7f}");
        assert_eq!(lines("one\ntwo\t\u{7}\n"), "one\ntwo\\t\\u{7}\n");
    }

    #[test]
    fn json_stays_the_same() {
        let names = ["a\u{1b}\u{9b}b", "\u{202e}\u{7f}", "ä\u{feff}"];
        let text = json(&serde_json::to_string_pretty(&names).unwrap());
        assert!(!text.contains(|c| acts(c) && c != '\n'), "{text}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), names);
    }

    #[test]
    fn numbers_are_cut_into_thousands() {
        assert_eq!([0, 999, 1000, 105_705_600].map(grouped), ["0", "999", "1,000", "105,705,600"]);
    }
}
