//! The threads that ask engines: as many as are needed at the same time, up to a number.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

/// So many hosts may hang, and the others are still asked at once.
const MOST: usize = 64;

type Question = Box<dyn FnOnce() + Send>;

/// Those who ask. They end with the value, when what was put is asked.
pub(super) struct Askers {
    questions: Sender<Question>,
    queue: Arc<Mutex<Receiver<Question>>>,
    /// Questions that were put and are not answered.
    open: Arc<AtomicUsize>,
    count: usize,
}

impl Default for Askers {
    fn default() -> Askers {
        let (questions, queue) = mpsc::channel();
        Askers { questions, queue: Arc::new(Mutex::new(queue)), open: Arc::default(), count: 0 }
    }
}

impl Askers {
    /// Has this asked as soon as somebody is free.
    pub(super) fn put(&mut self, question: impl FnOnce() + Send + 'static) {
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        // It lives as long as this value, which holds its other end.
        let _ = self.questions.send(Box::new(question));
        if open > self.count && self.count < MOST {
            self.count += 1;
            let (queue, open) = (self.queue.clone(), self.open.clone());
            std::thread::spawn(move || work(&queue, &open));
        }
    }
}

fn work(queue: &Mutex<Receiver<Question>>, open: &AtomicUsize) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(question) = next else { return };
        question();
        open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_ask_as_are_needed_and_no_more() {
        let mut askers = Askers::default();
        let (to, answers) = mpsc::channel();
        for number in 0..3 {
            let to = to.clone();
            askers.put(move || to.send(number).unwrap());
            assert_eq!(answers.recv().unwrap(), number);
            while askers.open.load(Ordering::SeqCst) > 0 {
                std::thread::yield_now();
            }
        }
        assert_eq!(askers.count, 1);
        // Those that hang keep nobody waiting, as long as there are fewer than all.
        let (hang, hung) = mpsc::channel::<()>();
        let hung = Arc::new(Mutex::new(hung));
        for _ in 0..MOST - 1 {
            let hung = hung.clone();
            askers.put(move || {
                let _ = hung.lock().unwrap().recv();
            });
        }
        let last = to.clone();
        askers.put(move || last.send(7).unwrap());
        assert_eq!(answers.recv().unwrap(), 7);
        for number in 0..2 * MOST {
            let to = to.clone();
            askers.put(move || to.send(number).unwrap());
        }
        assert!(askers.count <= MOST);
        drop(hang);
        assert_eq!(answers.iter().take(2 * MOST).count(), 2 * MOST);
    }
}
