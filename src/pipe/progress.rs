//! What is under way, on standard error, for a person who waits.

use std::fmt;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::OneLine;

/// Work that takes less than this is not worth a line.
const QUIET: Duration = Duration::from_secs(2);

/// The lines that are shown at one time, below each other. Nothing is shown where standard error is
/// no terminal.
#[derive(Clone)]
pub struct Bars {
    lines: MultiProgress,
    terminal: bool,
}

impl Default for Bars {
    fn default() -> Bars {
        let target = ProgressDrawTarget::stderr_with_hz(4);
        let terminal = std::io::stderr().is_terminal();
        Bars { lines: MultiProgress::with_draw_target(target), terminal }
    }
}

impl fmt::Debug for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bars")
    }
}

impl Bars {
    /// A line for bytes on their way; `what` says which and where to, and is shown as it is.
    pub fn transfer(&self, what: &str) -> Transfer {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_message(OneLine(what).to_string());
        Transfer { bar, bars: self.clone(), since: Mutex::new(Some(Instant::now())) }
    }

    /// Does something that writes to the terminal above the lines.
    pub(super) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.terminal { self.lines.suspend(write) } else { write() }
    }

    fn show(&self, bar: &ProgressBar, template: &str) {
        if !self.terminal {
            return;
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        self.lines.add(bar.clone());
    }
}

/// Bytes on their way. The line goes when this is dropped.
pub struct Transfer {
    bar: ProgressBar,
    bars: Bars,
    /// When it began, until it is shown.
    since: Mutex<Option<Instant>>,
}

impl Transfer {
    /// So many bytes have come, of so many, as far as that is known (0 where it is not).
    pub fn at(&self, done: u64, all: u64) {
        self.bar.set_length(all.max(done));
        self.bar.set_position(done);
        let mut since = self.since.lock().unwrap_or_else(|poison| poison.into_inner());
        if since.is_some_and(|since| since.elapsed() > QUIET) {
            *since = None;
            let template = "{bar:20} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg}";
            self.bars.show(&self.bar, template);
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Counts records; shows the count only when standard error is a terminal and the work is long.
pub struct Progress {
    bar: ProgressBar,
    bars: Bars,
    begun: Instant,
    shown: bool,
}

impl Progress {
    /// A count that starts at nothing, below other lines; `what` names what is counted.
    pub fn new(bars: &Bars, what: &'static str) -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_message(what);
        Progress { bar, bars: bars.clone(), begun: Instant::now(), shown: false }
    }

    /// Counts one more.
    pub fn tick(&mut self) {
        self.bar.inc(1);
        if !self.shown && self.begun.elapsed() > QUIET {
            self.shown = true;
            self.bars.show(&self.bar, "{spinner} {pos} {msg} in {elapsed}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
