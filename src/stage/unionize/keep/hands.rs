//! The threads that do what blocks, and how the one that does not is told of it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, PoisonError};

use super::super::lock;
use crate::error::{Doing, Result};

/// Orders for the threads, and what they have done. Readable when something was done.
#[derive(Debug)]
pub struct Hands<O, D> {
    orders: Mutex<Orders<O>>,
    ready: Condvar,
    done: Mutex<Vec<D>>,
    bell: UnixStream,
    ear: UnixStream,
}

#[derive(Debug)]
struct Orders<O> {
    waiting: VecDeque<O>,
    /// Orders that wait or are worked on.
    open: usize,
    closed: bool,
}

impl<O, D> Hands<O, D> {
    /// Without an order.
    pub fn new() -> Result<Hands<O, D>> {
        let doing = "make a socket pair";
        let (bell, ear) = UnixStream::pair().doing(doing)?;
        bell.set_nonblocking(true).doing(doing)?;
        ear.set_nonblocking(true).doing(doing)?;
        let orders = Orders { waiting: VecDeque::new(), open: 0, closed: false };
        let (orders, done) = (Mutex::new(orders), Mutex::new(Vec::new()));
        Ok(Hands { orders, ready: Condvar::new(), done, bell, ear })
    }

    /// Gives an order, to be done after those that wait, or, when it is `urgent`, before them.
    pub fn order(&self, order: O, urgent: bool) {
        let mut orders = lock(&self.orders);
        orders.open += 1;
        match urgent {
            true => orders.waiting.push_front(order),
            false => orders.waiting.push_back(order),
        }
        self.ready.notify_one();
    }

    /// How many orders are not done yet.
    pub fn open(&self) -> usize {
        lock(&self.orders).open
    }

    /// Works on orders until there will be no more.
    pub fn work(&self, mut work: impl FnMut(O) -> D) {
        while let Some(order) = self.take() {
            let done = work(order);
            lock(&self.done).push(done);
            lock(&self.orders).open -= 1;
            self.ring();
        }
    }

    /// Tells something that nobody ordered.
    pub fn tell(&self, news: D) {
        lock(&self.done).push(news);
        self.ring();
    }

    /// What was done since the last call.
    pub fn collect(&self) -> Vec<D> {
        // When it cannot be read, nothing rang.
        while matches!((&self.ear).read(&mut [0; 64]), Ok(64)) {}
        std::mem::take(&mut *lock(&self.done))
    }

    /// No more orders: those that wait are dropped, and the threads end.
    pub fn close(&self) {
        let mut orders = lock(&self.orders);
        orders.closed = true;
        orders.waiting.clear();
        self.ready.notify_all();
    }

    fn take(&self) -> Option<O> {
        let mut orders = lock(&self.orders);
        loop {
            if orders.closed {
                return None;
            }
            if let Some(order) = orders.waiting.pop_front() {
                return Some(order);
            }
            orders = self.ready.wait(orders).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn ring(&self) {
        // When it is full it has rung.
        let _ = (&self.bell).write(&[1]);
    }
}

impl<O, D> AsFd for Hands<O, D> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ear.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_urgent_is_done_first_and_nothing_after_the_end() {
        let hands: Hands<u32, u32> = Hands::new().unwrap();
        (1..=3).for_each(|order| hands.order(order, false));
        hands.order(9, true);
        assert_eq!(hands.open(), 4);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                hands.work(|order| {
                    if order == 2 {
                        hands.close();
                    }
                    order * 10
                })
            });
        });
        assert_eq!(hands.collect(), [90, 10, 20]);
        assert_eq!(hands.collect(), [0; 0]);
    }
}
