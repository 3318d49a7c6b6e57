//! The machine's clocks, and being woken by the one that goes on while it sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{
    ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags,
};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::read as read_from;

use crate::error::{Doing, Result};

/// A moment, by three clocks.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// What people call the time. It may be set, forwards and back.
    pub wall: Timestamp,
    /// Time since boot, sleep included. It is never set.
    pub boot: Duration,
    /// Time since boot without sleep.
    pub awake: Duration,
}

/// The clocks as they are now.
pub fn read() -> Reading {
    let of = |clock| clock_gettime(clock).map(Duration::from).unwrap_or_default();
    Reading {
        wall: Timestamp::now(),
        boot: of(ClockId::CLOCK_BOOTTIME),
        awake: of(ClockId::CLOCK_MONOTONIC),
    }
}

/// Becomes readable at a time of the boot clock.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
}

impl Alarm {
    /// One that is not set.
    pub fn new() -> Result<Alarm> {
        Ok(Alarm { timer: timer(TimerClock::CLOCK_BOOTTIME).doing("make an alarm")? })
    }

    /// Sets it to this time, in place of what it was set to. A time that has passed is now;
    /// [`Duration::MAX`] is never.
    pub fn set(&self, at: Duration) -> Result<()> {
        let set = match at {
            Duration::MAX => self.timer.unset(),
            at => {
                let left = after_zero(at.saturating_sub(read().boot));
                self.timer.set(Expiration::OneShot(left), TimerSetTimeFlags::empty())
            }
        };
        set.doing("set an alarm")
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

/// Becomes readable when somebody sets the clock, or the machine wakes up.
#[derive(Debug)]
pub struct Steps {
    timer: TimerFd,
}

impl Steps {
    /// Begins to listen.
    pub fn new() -> Result<Steps> {
        let timer = timer(TimerClock::CLOCK_REALTIME).doing("watch the clock")?;
        // It never goes off by itself; that it is cancelled is what it is for.
        let never = Expiration::OneShot(TimeSpec::new(i32::MAX.into(), 0));
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        timer.set(never, flags).doing("watch the clock")?;
        Ok(Steps { timer })
    }

    /// Forgets what was heard, so that it is readable again only at the next time.
    pub fn clear(&self) -> Result<()> {
        match read_from(&self.timer, &mut [0; 8]) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ECANCELED | Errno::EINTR) => Ok(()),
            Err(why) => Err(io::Error::from(why)).doing("watch the clock"),
        }
    }
}

impl AsFd for Steps {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

fn timer(clock: TimerClock) -> nix::Result<TimerFd> {
    TimerFd::new(clock, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)
}

/// The time as the kernel takes it, where zero would switch the alarm off.
fn after_zero(at: Duration) -> TimeSpec {
    // Some three hundred years.
    const LONGEST: Duration = Duration::from_secs(10_000_000_000);
    TimeSpec::from_duration(at.clamp(Duration::from_nanos(1), LONGEST))
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_readable(fd: BorrowedFd<'_>, within: u16) -> bool {
        poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(within)).unwrap() == 1
    }

    #[test]
    fn an_alarm_goes_off_at_its_time_and_when_that_has_passed() {
        let alarm = Alarm::new().unwrap();
        assert!(!is_readable(alarm.as_fd(), 10));
        alarm.set(read().boot + Duration::from_millis(50)).unwrap();
        assert!(!is_readable(alarm.as_fd(), 5));
        assert!(is_readable(alarm.as_fd(), 5000));
        alarm.set(Duration::MAX).unwrap();
        assert!(!is_readable(alarm.as_fd(), 10));
        alarm.set(Duration::ZERO).unwrap();
        assert!(is_readable(alarm.as_fd(), 5000));
        alarm.set(Duration::MAX - Duration::from_secs(1)).unwrap();
        assert!(!is_readable(alarm.as_fd(), 10));
    }

    #[test]
    fn nobody_sets_the_clock_meanwhile() {
        let steps = Steps::new().unwrap();
        assert!(!is_readable(steps.as_fd(), 10));
        steps.clear().unwrap();
    }
}
