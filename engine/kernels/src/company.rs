//! Work for two threads of which one may be held up.
//!
//! Where another program has one of two cores, the system lets the thread there rest for milliseconds in the middle of a
//! piece, and the other waits for it: every second slice of time is lost to both. What is paced by memory is not twice as
//! fast on two threads, so that one alone then does better. Who had to wait works alone for a while, and longer each time
//! it happens again. With more threads the others have enough to do meanwhile.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;

/// A piece took longer than the shortest of its kind by more than this: its thread was at rest.
const REST: Duration = Duration::from_millis(1);
/// How many times longer than the shortest a piece may take of itself.
const UNEVEN: u32 = 3;
/// How long to work alone at first, and at most, in microseconds.
const PAUSE_MICROS: [u64; 2] = [100_000, 1_600_000];

/// Moments are microseconds since the first call.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
static ALONE_UNTIL: AtomicU64 = AtomicU64::new(0);
static PAUSE: AtomicU64 = AtomicU64::new(PAUSE_MICROS[0]);

/// Runs all pieces, on this thread and on others where that helps.
pub(crate) fn share<T: Sync>(pieces: &[T], run: impl Fn(&T) + Sync + Send) {
    if rayon::current_num_threads() != 2 {
        return pieces.par_iter().for_each(run);
    }
    let now = || BEGUN.elapsed().as_micros() as u64;
    // Relaxed everywhere: the numbers guide and guard nothing.
    if now() < ALONE_UNTIL.load(Ordering::Relaxed) {
        return pieces.iter().for_each(run);
    }
    let times = pieces.par_iter().map(|piece| {
        let clock = Instant::now();
        run(piece);
        let took = clock.elapsed();
        (took, took)
    });
    let extremes = times.reduce_with(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    if extremes.is_some_and(|(shortest, longest)| was_held_up(shortest, longest)) {
        let now = now();
        let in_company = now.saturating_sub(ALONE_UNTIL.load(Ordering::Relaxed));
        let pause = next_pause(PAUSE.load(Ordering::Relaxed), in_company);
        PAUSE.store(pause, Ordering::Relaxed);
        ALONE_UNTIL.store(now + pause, Ordering::Relaxed);
    }
}

fn was_held_up(shortest: Duration, longest: Duration) -> bool {
    longest > shortest * UNEVEN + REST
}

/// How long to work alone when it happens after so long in company.
fn next_pause(pause: u64, since: u64) -> u64 {
    let [first, most] = PAUSE_MICROS;
    if since < first { (2 * pause).min(most) } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_piece_is_run_once_whoever_is_held_up() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            for round in 0..4 {
                let pieces: Vec<AtomicUsize> = (0..32).map(|_| AtomicUsize::new(0)).collect();
                share(&pieces, |piece| {
                    // The first round holds its threads up.
                    if round == 0 && std::ptr::eq(piece, &raw const pieces[20]) {
                        std::thread::sleep(3 * REST);
                    }
                    piece.fetch_add(1, Ordering::Relaxed);
                });
                assert!(pieces.iter().all(|piece| piece.load(Ordering::Relaxed) == 1));
                // Later rounds are run alone.
                assert!(ALONE_UNTIL.load(Ordering::Relaxed) > 0);
            }
        });
    }

    #[test]
    fn pauses_grow_while_it_goes_on_and_begin_anew() {
        let [first, most] = PAUSE_MICROS;
        assert_eq!(next_pause(first, 10), 2 * first);
        assert_eq!(next_pause(most, 10), most);
        assert_eq!(next_pause(most, first), first);
        let micros = Duration::from_micros;
        assert!(!was_held_up(micros(5), micros(900)));
        assert!(was_held_up(micros(5), micros(3000)));
        assert!(!was_held_up(micros(900), micros(3000)));
    }
}
