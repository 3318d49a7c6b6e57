//! A count of what is done, on standard error, for a person who waits.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that takes less than this is not worth a line.
const QUIET: Duration = Duration::from_secs(2);

/// Counts records; shows the count only when standard error is a terminal and the work is long.
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    shown: bool,
}

impl Progress {
    /// A count that starts at nothing; `what` names what is counted.
    pub fn new(what: &'static str) -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_message(what);
        Progress { bar, begun: Instant::now(), shown: !std::io::stderr().is_terminal() }
    }

    /// Counts one more.
    pub fn tick(&mut self) {
        self.bar.inc(1);
        if !self.shown && self.begun.elapsed() > QUIET {
            self.shown = true;
            let style = ProgressStyle::with_template("{spinner} {pos} {msg} in {elapsed}");
            if let Ok(style) = style {
                self.bar.set_style(style);
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(4));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
