//! Netlink attributes: a length, a kind and a value, padded to four bytes, one in another.

/// Bytes of an attribute before its value: its length and its kind, in the host's order.
const HEADER: usize = 4;

/// `NLA_F_NESTED`: the value is attributes itself.
const NESTED: u16 = 1 << 15;

/// The bits of the kind that are its number (`NLA_TYPE_MASK`).
const NUMBER: u16 = 0x3fff;

/// Attributes that are being written.
#[derive(Clone, Debug, Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// What `write` writes, as one value.
    pub fn of(write: impl FnOnce(&mut Attributes)) -> Attributes {
        let mut attributes = Attributes::default();
        write(&mut attributes);
        attributes
    }

    /// Adds bytes as they are.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.begin(kind, value.len());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Adds a number; nf_tables takes all of them in network order.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Adds text, which ends with a zero byte.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat());
    }

    /// Adds attributes that are in another one.
    pub fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Attributes)) {
        let inner = Attributes::of(write).0;
        self.begin(kind | NESTED, inner.len());
        self.0.extend(inner);
    }

    /// Adds attributes that were written before.
    pub fn append(&mut self, others: &Attributes) {
        self.0.extend_from_slice(&others.0);
    }

    /// The bytes, a multiple of four of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn begin(&mut self, kind: u16, length: usize) {
        let length = u16::try_from(HEADER + length).expect("no value here is that long");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
    }
}

/// The attributes in `bytes`, each with its number and its value. What is cut off is not there.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & NUMBER, value))
    })
}

/// The value of the first attribute with this number.
pub fn value(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(number, _)| *number == wanted).map(|(_, value)| value)
}

/// A value that is a number.
pub fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// A value that is text, without the zero byte at its end.
pub fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let written = Attributes::of(|all| {
            all.text(1, "abcd");
            all.nest(2, |inner| inner.number(3, 7));
            all.bytes(4, b"xyz");
        });
        assert_eq!(written.as_bytes().len() % 4, 0);
        let read: Vec<_> = attributes(written.as_bytes()).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(text(read[0].1), Some("abcd"));
        assert_eq!(value(read[1].1, 3).and_then(number), Some(7));
        assert_eq!(read[2], (4, &b"xyz"[..]));
    }

    #[test]
    fn what_is_cut_off_ends_the_reading() {
        let written = Attributes::of(|all| {
            all.number(1, 1);
            all.number(2, 2);
        });
        let bytes = written.as_bytes();
        for length in 0..bytes.len() {
            let whole = attributes(&bytes[..length]).count();
            assert_eq!(whole, length / 8, "{length}");
        }
        for hostile in [[0, 0, 1, 0], [3, 0, 1, 0], [255, 255, 1, 0]] {
            assert_eq!(attributes(&hostile).count(), 0);
        }
    }
}
