//! Words for a POSIX shell.

/// Appends `word` to a shell command so that the shell reads exactly that word: as it is where
/// nothing in it means anything to a shell, else in single quotes, inside which only a single quote
/// does (POSIX.1 XCU 2.2.2).
///
/// A NUL has no form in a shell; no word may hold one.
pub fn quote(word: &str, to: &mut String) {
    if is_plain(word) {
        return to.push_str(word);
    }
    to.push('\'');
    for (at, part) in word.split('\'').enumerate() {
        if at > 0 {
            to.push_str("'\\''");
        }
        to.push_str(part);
    }
    to.push('\'');
}

/// Whether the word means itself anywhere but in front of a command. A `=` at its beginning is
/// something to some shells that are not POSIX's.
fn is_plain(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&b);
    !word.is_empty() && !word.starts_with('=') && word.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_need_it_are_quoted() {
        let quoted = |word: &str| {
            let mut text = String::new();
            quote(word, &mut text);
            text
        };
        for plain in ["web", "-x", "A=1", "a/b:c@d%e+f,g", "--name", "unix:///run/d.sock"] {
            assert_eq!(quoted(plain), plain);
        }
        for (word, text) in [
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("'", r"''\'''"),
            ("a\nb", "'a\nb'"),
            ("$(x)", "'$(x)'"),
            ("A=~", "'A=~'"),
            ("[::1]:0:53", "'[::1]:0:53'"),
            ("=ls", "'=ls'"),
            ("{a,b}", "'{a,b}'"),
            ("é", "'é'"),
        ] {
            assert_eq!(quoted(word), text, "{word:?}");
        }
    }
}
