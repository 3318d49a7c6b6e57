//! The archive in which an engine hands out an image, read as it comes by, so that layers which its
//! taker has can be left out of it.
//!
//! It is a tar archive (POSIX.1-2017, pax). Engines since 25 name the files in it by their digests
//! (the OCI image layout), so a layer is known by its name. Older ones put each layer into a
//! directory whose name is a hash of what the image says of it, of the layers up to it, and of the
//! directory below it; `json` in there, which comes before `layer.tar`, holds what else goes into
//! that hash. So which layer a directory holds can be proved before the layer comes.

use std::collections::{BTreeMap, HashMap};

use hyper::body::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// What a tar archive is made of, in bytes.
const BLOCK: usize = 512;

/// A header with more before it, or a larger description of a layer, is not understood.
const LONGEST: u64 = 64 * 1024;

/// A piece of the archive.
pub(super) struct Part {
    /// Of which layer it is a part; only who has this and all those below it can do without.
    pub(super) layer: Option<usize>,
    pub(super) bytes: Bytes,
}

/// An archive that is being read.
pub(super) struct Archive {
    /// For each layer, from the bottom up: the digest of its files.
    layers: Vec<String>,
    /// The names of the layer with all those below it.
    chains: Vec<String>,
    /// The directories of which is proved which layer they hold.
    proved: HashMap<String, usize>,
    state: State,
    /// A header, and what came before it and belongs to it.
    held: Vec<u8>,
    /// Where in that the header begins.
    at: usize,
    extended: Extended,
}

enum State {
    /// Gathers a header.
    Header,
    /// Gathers what extends the next header, up to this length.
    Extension { kind: u8, until: usize },
    /// Passes the content of a file, so many bytes and what fills the last block.
    Content { left: u64, layer: Option<usize>, told: Option<Told> },
    /// Passes everything: the end has come, or something that is not understood.
    Over,
}

/// The description of a layer that is being read.
struct Told {
    directory: String,
    length: usize,
    text: Vec<u8>,
}

/// What stands before a header about it.
#[derive(Default)]
struct Extended {
    size: Option<u64>,
    renamed: bool,
}

impl Archive {
    /// An archive of an image with these layers.
    pub(super) fn new(layers: &[String]) -> Archive {
        Archive {
            layers: layers.to_vec(),
            chains: chains(layers),
            proved: HashMap::new(),
            state: State::Header,
            held: Vec::new(),
            at: 0,
            extended: Extended::default(),
        }
    }

    /// Takes the next bytes and tells what they are parts of. Nothing of them is lost.
    pub(super) fn read(&mut self, mut bytes: Bytes, parts: &mut Vec<Part>) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Over => {
                    parts.push(Part { layer: None, bytes: bytes.split_off(0) });
                    return;
                }
                State::Header => {
                    let missing = self.at + BLOCK - self.held.len();
                    self.held.extend_from_slice(&bytes.split_to(missing.min(bytes.len())));
                    if self.held.len() == self.at + BLOCK {
                        self.header(parts);
                    }
                }
                State::Extension { kind, until } => {
                    let (kind, until) = (*kind, *until);
                    let missing = until - self.held.len();
                    self.held.extend_from_slice(&bytes.split_to(missing.min(bytes.len())));
                    if self.held.len() == until {
                        self.extend(kind);
                    }
                }
                State::Content { left, layer, told } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let bytes = bytes.split_to(here);
                    *left -= here as u64;
                    if let Some(told) = told {
                        let room = told.length - told.text.len();
                        told.text.extend_from_slice(&bytes[..room.min(bytes.len())]);
                    }
                    let over = *left == 0;
                    parts.push(Part { layer: *layer, bytes });
                    if over {
                        self.content_ends();
                    }
                }
            }
        }
    }

    /// A header is there: passes it on, with what came before it, or gathers on.
    fn header(&mut self, parts: &mut Vec<Part>) {
        let block: [u8; BLOCK] = match self.held[self.at..].try_into() {
            Ok(block) => block,
            Err(_) => return self.give_up(parts),
        };
        let (Some(size), b"ustar") = (number(&block[124..136]), &block[257..262]) else {
            return self.give_up(parts);
        };
        let kind = block[156];
        if matches!(kind, b'x' | b'L' | b'K') {
            let until = self.held.len() as u64 + padded(size);
            if until > LONGEST || size == 0 {
                return self.give_up(parts);
            }
            self.state = State::Extension { kind, until: until as usize };
            return;
        }
        let Extended { size: longer, renamed } = std::mem::take(&mut self.extended);
        let size = match kind {
            b'1'..=b'6' => 0,
            _ => longer.unwrap_or(size),
        };
        let name = if renamed { None } else { name(&block) };
        let name = name.filter(|_| matches!(kind, b'0' | 0));
        let layer = name.as_deref().and_then(|name| self.layer(name));
        let told = name.and_then(|name| {
            let directory = name.strip_suffix("/json")?.to_owned();
            (size <= LONGEST).then(|| Told { directory, length: size as usize, text: Vec::new() })
        });
        self.pass(layer, parts);
        if size > 0 {
            self.state = State::Content { left: padded(size), layer, told };
        }
    }

    /// What extends the next header is there.
    fn extend(&mut self, kind: u8) {
        let content = &self.held[self.at + BLOCK..];
        match kind {
            b'x' => {
                for (key, value) in records(content) {
                    match key {
                        "size" => self.extended.size = value.parse().ok(),
                        "path" => self.extended.renamed = true,
                        _ => (),
                    }
                }
            }
            b'L' => self.extended.renamed = true,
            _ => (),
        }
        self.at = self.held.len();
        self.state = State::Header;
    }

    fn content_ends(&mut self) {
        let State::Content { told, .. } = std::mem::replace(&mut self.state, State::Header) else {
            return;
        };
        if let Some(told) = told
            && let Some(layer) = self.prove(&told)
        {
            self.proved.insert(told.directory, layer);
        }
    }

    /// Passes on what is held.
    fn pass(&mut self, layer: Option<usize>, parts: &mut Vec<Part>) {
        let bytes = std::mem::take(&mut self.held).into();
        self.at = 0;
        parts.push(Part { layer, bytes });
    }

    fn give_up(&mut self, parts: &mut Vec<Part>) {
        self.pass(None, parts);
        self.state = State::Over;
    }

    /// The layer that a file holds, if one: the highest of those that hold the same.
    fn layer(&self, name: &str) -> Option<usize> {
        let digest = match name.strip_prefix("blobs/sha256/") {
            Some(hex) => format!("sha256:{hex}"),
            None => {
                let layer = self.proved.get(name.strip_suffix("/layer.tar")?)?;
                self.layers.get(*layer)?.clone()
            }
        };
        self.layers.iter().rposition(|layer| *layer == digest)
    }

    /// The layer whose directory has this description, by trying which one makes its name.
    fn prove(&self, told: &Told) -> Option<usize> {
        let mut told_of: BTreeMap<String, &RawValue> = serde_json::from_slice(&told.text).ok()?;
        told_of.remove("id")?;
        let mut said: BTreeMap<String, String> =
            told_of.iter().map(|(key, value)| (key.clone(), value.get().to_owned())).collect();
        if let Some(parent) = said.get_mut("parent") {
            *parent = format!("\"sha256:{}\"", parent.trim_matches('"'));
        }
        // The system was written into all but the topmost after the name had been made.
        let mut without = said.clone();
        without.remove("os");
        self.chains.iter().position(|chain| {
            [&mut without, &mut said].into_iter().any(|said| {
                said.insert("layer_id".to_owned(), format!("\"{chain}\""));
                let fields: Vec<String> =
                    said.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                hex(&format!("{{{}}}", fields.join(","))) == told.directory
            })
        })
    }
}

/// The names of layers, each with all those below it (OCI image specification, "Layer ChainID").
fn chains(layers: &[String]) -> Vec<String> {
    let mut chains: Vec<String> = Vec::new();
    for layer in layers {
        let chain = match chains.last() {
            None => layer.clone(),
            Some(below) => format!("sha256:{}", hex(&format!("{below} {layer}"))),
        };
        chains.push(chain);
    }
    chains
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A length with what fills its last block.
fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64)
}

/// A number in a header: octal digits, or the bytes themselves behind a high bit.
fn number(field: &[u8]) -> Option<u64> {
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        let high = u64::from(first & 0x7f);
        return rest.iter().try_fold(high, |number, byte| {
            number.checked_mul(256).map(|number| number | u64::from(*byte))
        });
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The name in a header.
fn name(block: &[u8; BLOCK]) -> Option<String> {
    let text = |field: &[u8]| {
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        std::str::from_utf8(&field[..end]).ok().map(str::to_owned)
    };
    let (name, prefix) = (text(&block[..100])?, text(&block[345..500])?);
    Some(if prefix.is_empty() { name } else { format!("{prefix}/{name}") })
}

/// The records of a pax header: a length, a blank, a key, `=`, a value and a line's end.
fn records(mut content: &[u8]) -> Vec<(&str, &str)> {
    let mut records = Vec::new();
    while let Some(blank) = content.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&content[..blank]).ok().and_then(|text| text.parse().ok());
        let Some(record) = length.and_then(|length: usize| content.get(blank + 1..length)) else {
            break;
        };
        content = &content[blank + 1 + record.len()..];
        let text = std::str::from_utf8(record).ok().map(|text| text.trim_end_matches('\n'));
        records.extend(text.and_then(|text| text.split_once('=')));
    }
    records
}

#[cfg(test)]
#[path = "archive/tests.rs"]
mod tests;
