//! The words of a statement.

use std::borrow::Cow;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A word, number, address or date.
    Word(&'a [u8]),
    /// What stands between two quotation marks, as it stands there.
    Text(&'a [u8]),
    /// One of `{`, `}`, `;`, `=` and `,`.
    Mark(u8),
}

/// The bytes that end a word: white space, marks and quotation marks.
const ENDS_A_WORD: [bool; 256] = {
    let mut ends = [false; 256];
    let bytes = b" \t\n\r\x0c{};=,\"";
    let mut at = 0;
    while at < bytes.len() {
        ends[bytes[at] as usize] = true;
        at += 1;
    }
    ends
};

/// Takes a statement without comments apart.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// The words of `text`.
    pub fn new(text: &'a [u8]) -> Tokens<'a> {
        Tokens { rest: text }
    }

    /// The next word, if that is what comes next.
    pub fn word(&mut self) -> Option<&'a [u8]> {
        match self.next() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// Whether this mark comes next.
    pub fn mark(&mut self, mark: u8) -> bool {
        self.next() == Some(Token::Mark(mark))
    }

    /// Passes over the rest of a statement: up to its `;`, or to the end of the block that it has.
    pub fn pass_over(&mut self) -> bool {
        let mut depth = 0u32;
        for token in self {
            match token {
                Token::Mark(b';') if depth == 0 => return true,
                Token::Mark(b'{') => depth += 1,
                Token::Mark(b'}') if depth <= 1 => return depth == 1,
                Token::Mark(b'}') => depth -= 1,
                _ => (),
            }
        }
        false
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.rest.trim_ascii_start();
        let (&first, behind) = rest.split_first()?;
        let (token, rest) = match first {
            b'{' | b'}' | b';' | b'=' | b',' => (Token::Mark(first), behind),
            b'"' => {
                let end = end_of_text(behind);
                (Token::Text(&behind[..end]), behind.get(end + 1..).unwrap_or_default())
            }
            _ => {
                let ends = |byte: &u8| ENDS_A_WORD[usize::from(*byte)];
                let end = rest.iter().position(ends).unwrap_or(rest.len());
                (Token::Word(&rest[..end]), &rest[end..])
            }
        };
        self.rest = rest;
        Some(token)
    }
}

/// Where the quotation mark stands that ends a text, or the end of its line if there is none: no text
/// goes beyond its line, since dhcpd escapes the newlines in it.
pub fn end_of_text(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', &text[at.min(text.len())..]) {
        at += found;
        if text[at] != b'\\' {
            return at;
        }
        at += 2;
    }
    text.len()
}

/// The bytes that a text stands for; nothing when an escape is none. dhcpd writes what is not
/// printable as a backslash and three octal digits, and reads these escapes.
pub fn unescaped(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr(b'\\', text).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let escape = &rest[at + 1..];
        let is_octal = |digit: &&u8| matches!(digit, b'0'..=b'7');
        let octal = escape.iter().take(3).take_while(is_octal).count();
        let (byte, length) = match escape.first()? {
            b'0'..=b'7' => (value(&escape[..octal], 8)?, octal),
            b'x' => (value(escape.get(1..3)?, 16)?, 3),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'r' => (b'\r', 1),
            b'b' => (8, 1),
            other => (*other, 1),
        };
        out.push(byte);
        rest = &escape[length..];
    }
    out.extend_from_slice(rest);
    Some(Cow::Owned(out))
}

/// The byte that these digits are.
pub fn value(digits: &[u8], radix: u32) -> Option<u8> {
    digits.iter().try_fold(0, |value, digit| {
        let value = u32::from(value) * radix + (*digit as char).to_digit(radix)?;
        u8::try_from(value).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_digits_than_a_byte_has_are_none() {
        assert_eq!(value(b"00ff", 16), Some(255));
        assert_eq!(value(b"100", 16), None);
        assert_eq!(value(b"ffffffffffffffffff", 16), None);
    }

    #[test]
    fn a_statement_is_taken_apart() {
        let text = br#"set a = "x\"};" ; b{c 6 2026/11/21}"#;
        let word = |word: &'static str| Token::Word(word.as_bytes());
        let expected = [
            word("set"),
            word("a"),
            Token::Mark(b'='),
            Token::Text(br#"x\"};"#),
            Token::Mark(b';'),
            word("b"),
            Token::Mark(b'{'),
            word("c"),
            word("6"),
            word("2026/11/21"),
            Token::Mark(b'}'),
        ];
        assert_eq!(Tokens::new(text).collect::<Vec<_>>(), expected);
        for end in 0..text.len() {
            assert!(Tokens::new(&text[..end]).count() <= expected.len());
        }
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let mut tokens = Tokens::new(b"on expiry { a; { b; } } ends never; } x");
        assert!(tokens.pass_over());
        assert_eq!(tokens.word(), Some(&b"ends"[..]));
        assert!(tokens.pass_over());
        // What ends the block around it is no end of a statement.
        assert!(!tokens.clone().pass_over());
        assert!(!Tokens::new(b"a { b; ").pass_over());
    }

    #[test]
    fn escapes_are_those_of_dhcpd() {
        let undone = |text: &[u8]| unescaped(text).map(Cow::into_owned);
        assert_eq!(undone(b"plain").unwrap(), b"plain");
        assert_eq!(undone(br#"\001\002}\307\"\\\x2cq\n"#).unwrap(), b"\x01\x02}\xc7\"\\,q\n");
        // Up to three digits belong to it.
        assert_eq!(undone(br"\18\0001").unwrap(), b"\x018\x001");
        for bad in [&br"\"[..], br"\400", br"\x2", br"\xzz"] {
            assert_eq!(undone(bad), None);
        }
    }
}
