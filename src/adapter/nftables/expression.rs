//! What rules are made of: expressions that load something into registers, compare it, look it up
//! and give a verdict, as linux/netfilter/nf_tables.h numbers them.

use super::attribute::Attributes;

/// A register of sixteen bytes, or the first of several of four: what is written there lies one
/// behind the other, as the keys of the sets do.
#[derive(Clone, Copy, Debug)]
pub struct Register(u32);

impl Register {
    /// `NFT_REG32_00`, and the one that is so many bytes behind it.
    pub const fn behind(bytes: usize) -> Register {
        Register(8 + (bytes / 4) as u32)
    }

    /// The first one.
    pub const FIRST: Register = Register::behind(0);

    /// `NFT_REG_VERDICT`.
    const VERDICT: Register = Register(0);
}

/// What a packet brings along beside its bytes (`enum nft_meta_keys`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Meta {
    InputName = 6,
    OutputName = 7,
    Family = 15,
    Transport = 16,
}

/// From where on bytes are counted (`enum nft_payload_bases`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Base {
    Network = 1,
    Transport = 2,
}

/// What is known of a packet's connection (`enum nft_ct_keys`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Connection {
    State = 0,
    Direction = 1,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    Accept,
    Drop,
    Goto(&'static str),
}

/// The expressions of one rule, which are worked off until one does not hold.
#[derive(Clone, Debug, Default)]
pub struct Rule(Attributes);

impl Rule {
    /// The list of expressions.
    pub fn into_expressions(self) -> Attributes {
        self.0
    }

    /// Loads what the packet brings along.
    pub fn meta(self, key: Meta, to: Register) -> Rule {
        self.expression("meta", |all| {
            all.number(1, to.0);
            all.number(2, key as u32);
        })
    }

    /// Loads bytes of the packet.
    pub fn payload(self, base: Base, offset: u32, length: u32, to: Register) -> Rule {
        self.expression("payload", |all| {
            all.number(1, to.0);
            all.number(2, base as u32);
            all.number(3, offset);
            all.number(4, length);
        })
    }

    /// Loads what is known of the packet's connection; does not hold for one that has none.
    pub fn connection(self, key: Connection) -> Rule {
        self.expression("ct", |all| {
            all.number(1, Register::FIRST.0);
            all.number(2, key as u32);
        })
    }

    /// Holds if the first register is `value`.
    pub fn equals(self, value: &[u8]) -> Rule {
        self.compare(0, value)
    }

    /// Holds if the first register is anything but `value`.
    pub fn differs_from(self, value: &[u8]) -> Rule {
        self.compare(1, value)
    }

    fn compare(self, operation: u32, value: &[u8]) -> Rule {
        self.expression("cmp", |all| {
            all.number(1, Register::FIRST.0);
            all.number(2, operation);
            all.nest(3, |data| data.bytes(1, value));
        })
    }

    /// Leaves the bits of `mask` in the first register.
    pub fn mask(self, mask: &[u8]) -> Rule {
        self.expression("bitwise", |all| {
            all.number(1, Register::FIRST.0);
            all.number(2, Register::FIRST.0);
            all.number(3, mask.len() as u32);
            all.nest(4, |data| data.bytes(1, mask));
            all.nest(5, |data| data.bytes(1, &vec![0; mask.len()]));
        })
    }

    /// Holds if what lies from the first register on is an element of the set.
    pub fn within(self, set: &str) -> Rule {
        self.lookup(set, 0)
    }

    /// Holds if it is not.
    pub fn outside(self, set: &str) -> Rule {
        self.lookup(set, 1)
    }

    fn lookup(self, set: &str, inverted: u32) -> Rule {
        self.expression("lookup", |all| {
            all.text(1, set);
            all.number(2, Register::FIRST.0);
            if inverted != 0 {
                all.number(5, inverted);
            }
        })
    }

    /// Counts the packet.
    pub fn count(self) -> Rule {
        self.expression("counter", |_| ())
    }

    /// Ends with this verdict.
    pub fn verdict(self, verdict: Verdict) -> Rule {
        let (code, chain) = match verdict {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Goto(chain) => (-4i32, Some(chain)),
        };
        self.expression("immediate", |all| {
            all.number(1, Register::VERDICT.0);
            all.nest(2, |data| {
                data.nest(2, |verdict| {
                    verdict.number(1, code.cast_unsigned());
                    if let Some(chain) = chain {
                        verdict.text(2, chain);
                    }
                });
            });
        })
    }

    fn expression(mut self, name: &str, write: impl FnOnce(&mut Attributes)) -> Rule {
        self.0.nest(1, |element| {
            element.text(1, name);
            element.nest(2, write);
        });
        self
    }
}
