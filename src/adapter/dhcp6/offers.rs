//! The Advertise messages that have come in, best first (RFC 8415 section 18.2.9).

use std::time::Duration;

use super::message::Asked;
use crate::record::Duid;

/// How many offers are kept; a link has a few servers, and anybody can pretend to be many.
const MOST: usize = 16;

/// What one server would give.
#[derive(Debug)]
pub(super) struct Offer {
    pub server: Duid,
    pub preference: u8,
    /// How many of the associations that are wanted it has something for.
    pub grants: usize,
    /// What to request.
    pub asked: Asked,
}

impl Offer {
    /// Section 18.2.9: a server of less preference may be chosen when it has more of what is wanted.
    fn rank(&self) -> (usize, u8) {
        (self.grants, self.preference)
    }
}

/// Offers in falling worth; among equals the one that came first, from the nearest or least busy.
#[derive(Default)]
pub(super) struct Offers {
    offers: Vec<Offer>,
    due: Option<Duration>,
}

impl Offers {
    /// Adds an offer, in place of an earlier one of that server; the first sets when all are weighed.
    pub fn add(&mut self, offer: Offer, due: Duration) {
        self.offers.retain(|other| other.server != offer.server);
        let at = self.offers.partition_point(|other| other.rank() >= offer.rank());
        self.offers.insert(at, offer);
        self.offers.truncate(MOST);
        self.due.get_or_insert(due);
    }

    /// The best offer, taken out.
    pub fn take_best(&mut self) -> Option<Offer> {
        (!self.offers.is_empty()).then(|| self.offers.remove(0))
    }

    /// When the offers are to be weighed; never without one.
    pub fn due(&self) -> Duration {
        self.due.filter(|_| !self.is_empty()).unwrap_or(Duration::MAX)
    }

    pub fn are_due(&self, now: Duration) -> bool {
        now >= self.due()
    }

    pub fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Wants;
    use super::*;

    fn offer(server: u8, preference: u8) -> Offer {
        let server = Duid::new(&[0, 4, server]).unwrap();
        Offer { server, preference, grants: 1, asked: Asked::anew(Wants::ADDRESS) }
    }

    fn in_order(mut offers: Offers) -> Vec<(u8, u8)> {
        std::iter::from_fn(|| offers.take_best())
            .map(|offer| (offer.server.as_bytes()[2], offer.preference))
            .collect()
    }

    #[test]
    fn the_highest_preference_comes_first_and_then_the_earliest() {
        let mut offers = Offers::default();
        for (server, preference) in [(1, 0), (2, 9), (3, 9), (4, 0), (1, 0)] {
            offers.add(offer(server, preference), Duration::ZERO);
        }
        assert_eq!(in_order(offers), [(2, 9), (3, 9), (4, 0), (1, 0)]);
    }

    #[test]
    fn an_offer_of_more_comes_before_one_of_higher_preference() {
        let mut offers = Offers::default();
        offers.add(offer(1, 9), Duration::ZERO);
        offers.add(Offer { grants: 2, ..offer(2, 0) }, Duration::ZERO);
        assert_eq!(in_order(offers), [(2, 0), (1, 9)]);
    }

    #[test]
    fn a_crowd_of_servers_does_not_drive_out_a_better_one() {
        let mut offers = Offers::default();
        for server in 0..=255 {
            offers.add(offer(server, u8::from(server == 200)), Duration::ZERO);
        }
        let kept = in_order(offers);
        assert_eq!((kept.len(), kept[0]), (MOST, (200, 1)));
    }

    #[test]
    fn the_first_offer_sets_the_time() {
        let mut offers = Offers::default();
        assert_eq!(offers.due(), Duration::MAX);
        offers.add(offer(1, 0), Duration::from_millis(10));
        offers.add(offer(2, 0), Duration::from_millis(15));
        assert!(
            !offers.are_due(Duration::from_millis(9)) && offers.are_due(Duration::from_millis(10))
        );
    }
}
