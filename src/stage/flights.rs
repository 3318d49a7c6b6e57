//! Work that several want at the same time and that is done once for all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind, Result};

/// What is being done now, by what it is.
pub(super) struct Flights<K, T>(Mutex<HashMap<K, Arc<Flight<T>>>>);

struct Flight<T> {
    outcome: Mutex<Option<Result<T>>>,
    landed: Condvar,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Flights<K, T> {
        Flights(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Flights<K, T> {
    /// Does the work, or waits for whoever is doing it at this moment, and gives the one outcome to
    /// all of them. Who comes later begins anew, whatever that outcome was.
    pub(super) fn share(&self, key: &K, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (flight, mine) = {
            let mut flights = lock(&self.0);
            match flights.get(key) {
                Some(flight) => (flight.clone(), false),
                None => {
                    let flight =
                        Arc::new(Flight { outcome: Mutex::default(), landed: Condvar::new() });
                    flights.insert(key.clone(), flight.clone());
                    (flight, true)
                }
            }
        };
        if !mine {
            return flight.wait();
        }
        // Whoever waits learns of the end even when that is a panic.
        let landing = Landing { flights: self, key, flight: &flight };
        let outcome = work();
        *lock(&flight.outcome) = Some(outcome.clone());
        drop(landing);
        outcome
    }
}

impl<T: Clone> Flight<T> {
    fn wait(&self) -> Result<T> {
        let mut outcome = lock(&self.outcome);
        loop {
            match &*outcome {
                Some(outcome) => return outcome.clone(),
                None => {
                    outcome = self.landed.wait(outcome).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

struct Landing<'a, K: Hash + Eq, T> {
    flights: &'a Flights<K, T>,
    key: &'a K,
    flight: &'a Flight<T>,
}

impl<K: Hash + Eq, T> Drop for Landing<'_, K, T> {
    fn drop(&mut self) {
        lock(&self.flights.0).remove(self.key);
        let lost = || Err(Error::new(Kind::Bug, "the work that was waited for panicked"));
        lock(&self.flight.outcome).get_or_insert_with(lost);
        self.flight.landed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn all_who_wait_share_one_outcome_and_later_ones_try_again() {
        let flights = Flights::<&str, u32>::default();
        let done = AtomicU32::new(0);
        let begun = Barrier::new(2);
        let refuse = || Err(Error::new(Kind::Refused, "no"));
        let outcomes: Vec<Result<u32>> = std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                flights.share(&"a", || {
                    begun.wait();
                    std::thread::sleep(Duration::from_millis(50));
                    done.fetch_add(1, Ordering::Relaxed);
                    refuse()
                })
            });
            begun.wait();
            let others: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        flights.share(&"a", || Ok(done.fetch_add(100, Ordering::Relaxed)))
                    })
                })
                .collect();
            assert_eq!(flights.share(&"b", || Ok(7)), Ok(7));
            [first].into_iter().chain(others).map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(done.load(Ordering::Relaxed), 1);
        assert_eq!(outcomes, vec![refuse(); 4]);
        assert_eq!(flights.share(&"a", || Ok(3)), Ok(3));
    }

    #[test]
    fn a_panic_lets_nobody_wait_for_ever() {
        let flights = Flights::<u8, ()>::default();
        let begun = Barrier::new(2);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                flights.share(&1, || {
                    begun.wait();
                    std::thread::sleep(Duration::from_millis(50));
                    panic!("on purpose")
                })
            });
            begun.wait();
            assert_eq!(flights.share(&1, || Ok(())).unwrap_err().kind(), Kind::Bug);
            assert!(first.join().is_err());
        });
    }
}
