//! Samples drawn ahead of the training, in a fixed order, in bounded memory.
//!
//! Thread `k` of `n` makes the samples `k, k + n, k + 2n, …` and hands them over through its own bounded
//! queue; the reader takes from the queues in turn. The order is therefore that of the cursor, whatever
//! the threads' speed, and a run that starts at cursor `c` sees what an unbroken one sees from there on.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::error::TrainError;

/// A running stream of samples.
#[derive(Debug)]
pub struct Stream<T> {
    queues: Vec<Receiver<Result<T, TrainError>>>,
    next: usize,
}

impl<T: Send + 'static> Stream<T> {
    /// Starts `n_thread` threads that call `make(cursor)` for `cursor` = `start`, `start + 1`, … and keep
    /// up to `n_ahead` results waiting. The threads end when the stream is dropped.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the system gives no thread.
    pub fn start(
        start: u64,
        n_thread: usize,
        n_ahead: usize,
        make: &Arc<dyn Fn(u64) -> Result<T, TrainError> + Send + Sync>,
    ) -> Result<Self, TrainError> {
        let mut queues = Vec::with_capacity(n_thread);
        for thread_idx in 0..n_thread {
            let (sender, receiver) = sync_channel(n_ahead.div_ceil(n_thread));
            let make = Arc::clone(make);
            thread::Builder::new()
                .name(format!("draw-{thread_idx}"))
                .spawn(move || {
                    let mut cursor = start + thread_idx as u64;
                    // A closed queue means that nobody reads any more.
                    while sender.send(make(cursor)).is_ok() {
                        cursor += n_thread as u64;
                    }
                })
                .map_err(TrainError::engine("cannot start a drawing thread"))?;
            queues.push(receiver);
        }
        Ok(Self { queues, next: 0 })
    }

    /// The next sample; waits for it.
    ///
    /// # Errors
    /// What `make` returned, or [`TrainError::Plan`] where the thread died.
    pub fn take(&mut self) -> Result<T, TrainError> {
        let queue = self.next;
        self.next = (self.next + 1) % self.queues.len();
        self.queues[queue].recv().map_err(|_closed| TrainError::plan("a drawing thread ended"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_cursor() {
        for n_thread in [1, 2, 3] {
            let make: Arc<dyn Fn(u64) -> Result<u64, TrainError> + Send + Sync> = Arc::new(Ok);
            let mut stream = Stream::start(5, n_thread, 4, &make).unwrap();
            let seen: Vec<u64> = (0..20).map(|_| stream.take().unwrap()).collect();
            assert_eq!(seen, (5..25).collect::<Vec<_>>(), "{n_thread} threads");
        }
    }
}
