//! Which of two events is the later one.
//!
//! dnsmasq runs its script for one event at a time. Kea does not wait for one to end before it
//! starts the next, so they overtake each other, by milliseconds as a rule. What they have from the
//! moment of the event is when their process was begun, in hundredths of a second, and the number
//! that it got. Kea also says when the client was last heard from before the event (its CLTT, in
//! seconds), which names the term of the lease that the event is about: the end of a former term,
//! told late, is no end of the present one.
//!
//! The CLTT is by a clock that may be set back, and must not make an hour's events look late. So it
//! decides only between events that began within a minute of each other.

use std::fs;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

use crate::wire;

/// No event is overtaken by one that began so much later, in hundredths of a second.
const LATE: i64 = 60 * 100;

wire! {
    /// When an event was, as far as that orders it among others.
    pub struct Order {
        /// Names the time between two starts of the machine; another one is a former one.
        req boot: String,
        /// When the script's process was begun, in hundredths of a second since the machine's start.
        req started: i64,
        /// The process's number.
        req pid: i64,
        /// When the client was last heard from before that, where the server says it.
        opt cltt: Timestamp,
    }
}

impl Order {
    /// The order of the event that this process was begun for.
    pub fn of_this_process() -> Order {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Order {
            boot: boot.trim().to_owned(),
            started: started(&stat).unwrap_or_else(uptime),
            pid: std::process::id().into(),
            cltt: None,
            rest: Default::default(),
        }
    }

    /// Whether an event of this order comes after one of the order `known`, or is the same one.
    pub fn follows(&self, known: &Order) -> bool {
        let lead = self.started.saturating_sub(known.started);
        if self.boot != known.boot {
            return true;
        }
        if lead.saturating_abs() > LATE {
            return lead > 0;
        }
        match (self.cltt, known.cltt) {
            (Some(own), Some(known)) if own != known => own > known,
            _ if lead != 0 => lead > 0,
            _ => is_later_pid(self.pid, known.pid),
        }
    }

    /// Whether the server heard from the client of both events in the same second.
    pub fn is_of_same_second(&self, known: &Order) -> bool {
        self.cltt.is_some() && self.cltt == known.cltt
    }
}

/// Numbers of processes go up, and begin again from the bottom.
fn is_later_pid(own: i64, known: i64) -> bool {
    const FAR: i64 = 16 * 1024;
    let lead = own.saturating_sub(known);
    if lead.saturating_abs() > FAR { lead < 0 } else { lead >= 0 }
}

/// Field 22 of proc_pid_stat(5). The second field is the program's name, which may hold anything.
fn started(stat: &str) -> Option<i64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Now, in the same unit, for a machine that shows no processes.
fn uptime() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME);
    now.map_or(0, |now| now.tv_sec() * 100 + now.tv_nsec() / 10_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_machine_has_are_ordered_all_the_same() {
        let (least, most) = (order(i64::MIN, i64::MAX, None), order(i64::MAX, i64::MIN, None));
        assert!(most.follows(&least) && !least.follows(&most));
        assert!(order(1, i64::MIN, None).follows(&order(1, i64::MAX, None)));
    }

    fn order(started: i64, pid: i64, cltt: Option<i64>) -> Order {
        let cltt = cltt.map(|second| Timestamp::from_second(second).unwrap());
        Order { boot: "a".into(), started, pid, cltt, rest: Default::default() }
    }

    #[test]
    fn processes_are_ordered_by_their_beginning_and_number() {
        let events = [order(100, 7, None), order(100, 8, None), order(101, 3, None)];
        for (at, earlier) in events.iter().enumerate() {
            for later in &events[at + 1..] {
                assert!(later.follows(earlier) && !earlier.follows(later));
            }
            assert!(earlier.follows(earlier));
        }
        // The numbers have begun again from the bottom.
        assert!(order(100, 300, None).follows(&order(100, 32_700, None)));
    }

    #[test]
    fn the_end_of_a_former_term_is_late() {
        let end_of_former = order(205, 9, Some(1_000));
        let renewed = order(200, 5, Some(1_050));
        assert!(!end_of_former.follows(&renewed));
        assert!(renewed.follows(&end_of_former));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_up_nobody_for_long() {
        let before = order(1_000, 5, Some(10_000));
        assert!(!order(1_100, 6, Some(6_400)).follows(&before));
        assert!(order(1_000 + LATE + 1, 6, Some(6_400)).follows(&before));
        assert!(!order(1_000 - LATE - 1, 6, Some(10_001)).follows(&before));
    }

    #[test]
    fn the_machine_s_last_start_is_the_later_one() {
        let mut other = order(5, 1, None);
        other.boot = "b".into();
        assert!(other.follows(&order(9_999, 9, None)));
    }

    #[test]
    fn this_process_began_before_now() {
        let own = Order::of_this_process();
        assert!(own.started > 0 && own.started <= uptime());
        assert_eq!(own.boot.len(), 36);
        assert_eq!(started("1 (a) b) R 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 77 0"), Some(77));
        assert_eq!(started("nonsense"), None);
    }
}
