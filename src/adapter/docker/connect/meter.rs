//! How much an engine may say. Most of what it says is kept until it is whole, so one that never ends
//! would take all of this machine's memory, and what is done on all other hosts with it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::Wire;

/// The most that an answer may hold: a list of a hundred thousand containers takes half of it.
const LONGEST: u64 = 256 * 1024 * 1024;

/// The most that a line may, of an answer that is taken line by line.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// What is said of an engine that says more.
pub(in crate::adapter::docker) const TOO_LONG: &str = "it does not end";

/// What the answer to the call in hand may still hold.
#[derive(Default)]
pub(super) struct Meter {
    left: AtomicU64,
    by_line: AtomicBool,
}

impl Meter {
    /// A call goes out whose answer is counted from here on. What tells of something that goes on is
    /// taken line by line, and an image comes by without being kept.
    pub(super) fn begin(&self, path: &str) {
        let path = call(path);
        let by_line = ["/events", "/images/create", "/images/load"].contains(&path);
        let left = match path {
            _ if by_line => LONGEST_LINE,
            _ if path.starts_with("/images/") && path.ends_with("/get") => u64::MAX,
            _ => LONGEST,
        };
        self.by_line.store(by_line, Ordering::Relaxed);
        self.left.store(left, Ordering::Relaxed);
    }

    /// Whether these bytes may come as well.
    fn takes(&self, bytes: &[u8]) -> bool {
        // Lines of the protocol itself end with two characters.
        let ends = || bytes.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
        if self.by_line.load(Ordering::Relaxed) && ends() {
            self.left.store(LONGEST_LINE, Ordering::Relaxed);
        }
        let left = self.left.load(Ordering::Relaxed).checked_sub(bytes.len() as u64);
        self.left.store(left.unwrap_or_default(), Ordering::Relaxed);
        left.is_some()
    }
}

/// What is called at a path, without the version of the API that stands before it.
fn call(path: &str) -> &str {
    let whole = path.split('?').next().unwrap_or(path);
    let behind = whole.strip_prefix("/v").and_then(|rest| rest.split_once('/'));
    let is_version = |word: &str| word.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
    match behind {
        Some((version, _)) if is_version(version) => &whole["/v".len() + version.len()..],
        _ => whole,
    }
}

/// A stream of bytes of which what comes in is counted.
pub(super) struct Metered {
    pub(super) wire: Box<dyn Wire>,
    pub(super) meter: Arc<Meter>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        buffer: &mut ReadBuf,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.wire).poll_read(context, buffer))?;
        Poll::Ready(match self.meter.takes(&buffer.filled()[before..]) {
            true => Ok(()),
            false => Err(io::Error::other(TOO_LONG)),
        })
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        pieces: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many times so many bytes are taken, up to a thousand times.
    fn taken(path: &str, piece: &[u8]) -> usize {
        let meter = Meter::default();
        meter.begin(path);
        (0..1000).take_while(|_| meter.takes(piece)).count()
    }

    #[test]
    fn an_answer_ends_and_so_does_a_line() {
        let mut piece = vec![b' '; 1024 * 1024];
        assert_eq!(taken("/v1.41/containers/json?all=true", &piece), 256);
        assert_eq!(taken("/v1.41/events?since=1", &piece), 16);
        assert_eq!(taken("/v1.41/images/a/b/get", &piece), 1000);
        assert_eq!(taken("/volumes/v1.41/get", &piece), 256);
        piece[7..9].copy_from_slice(b"\r\n");
        assert_eq!(taken("/v1.41/events", &piece), 16, "the protocol's own");
        piece[7..9].copy_from_slice(b"}\n");
        assert_eq!(taken("/events", &piece), 1000);
        assert_eq!(taken("/containers/a/json", &piece), 256);
    }
}
