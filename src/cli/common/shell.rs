//! Quoting for a shell.

use super::text;
use std::path::Path;

/// Quotes a path for a shell if needed, with `$'...'` if it contains control characters or is not Unicode.
pub fn quoted(path: &Path) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    match path.to_str() {
        Some(path) if path.chars().all(plain) && !path.is_empty() => path.to_owned(),
        Some(path) if text::name(path) == path => format!("'{}'", path.replace('\'', r"'\''")),
        _ => {
            let chunks = path.as_os_str().as_encoded_bytes().utf8_chunks();
            let shown = chunks.map(|chunk| {
                let valid: String = chunk.valid().chars().map(escaped).collect();
                valid + &octal(chunk.invalid())
            });
            format!("$'{}'", shown.collect::<String>())
        }
    }
}

/// Escapes a character within `$'...'`.
fn escaped(c: char) -> String {
    let text = c.to_string();
    match c {
        '\'' | '\\' => format!("\\{c}"),
        _ if text::name(&text) == text => text,
        _ => octal(text.as_bytes()),
    }
}

/// Bytes as octal escapes within `$'...'`. With three digits each, a digit may follow.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}

#[cfg(test)]
mod tests {
    use super::quoted;
    use std::path::Path;

    #[test]
    fn paths_are_quoted_for_a_shell() {
        for (path, word) in
            [("runs/a-2", "runs/a-2"), ("my run", "'my run'"), ("it's", r"'it'\''s'"), ("$HOME", "'$HOME'")]
        {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }

    #[test]
    #[cfg(unix)]
    fn escaped_bytes_are_the_same_path_to_a_shell() {
        use std::os::unix::ffi::OsStrExt;
        for (bytes, word) in [
            (&b"a\n1"[..], r"$'a\0121'"),
            (b"it's \x1b[1m\\", r"$'it\'s \033[1m\\'"),
            ("ä\u{202e}".as_bytes(), r"$'ä\342\200\256'"),
            (b"caf\xe9\xff7", r"$'caf\351\3777'"),
        ] {
            assert_eq!(quoted(Path::new(std::ffi::OsStr::from_bytes(bytes))), word);
            let printed =
                std::process::Command::new("bash").args(["-c", &format!("printf %s {word}")]).output();
            // Skipped if bash is not installed.
            assert!(printed.is_err() || printed.is_ok_and(|output| output.stdout == bytes), "{word}");
        }
    }
}
