//! What this machine's memory can do, to hold products against.

use std::time::Instant;

/// Bytes that are read for the roof: far more than any cache holds.
const ROOF_BYTES: usize = 512 << 20;
/// Times that they are read; the best counts.
const N_ROOF: usize = 12;

/// The roof over decoding: bytes a second that this many threads can read from memory, the best of some readings.
pub(crate) fn read_bytes_per_sec(n_thread: usize) -> f64 {
    let words: Vec<u64> = (0..(ROOF_BYTES / 8) as u64).collect();
    let (mut best, mut sum) = (f64::INFINITY, 0_u64);
    for _ in 0..N_ROOF {
        let clock = Instant::now();
        let parts = words.chunks(words.len().div_ceil(n_thread));
        sum ^= std::thread::scope(|scope| {
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || sum_in_streams(part))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).fold(0, u64::wrapping_add)
        });
        best = best.min(clock.elapsed().as_secs_f64());
    }
    // The sum is used, so that reading for it is not left out.
    std::hint::black_box(sum);
    ROOF_BYTES as f64 / best
}

/// Adds up numbers from four places at once: one stream alone does not keep a core's prefetchers busy.
fn sum_in_streams(words: &[u64]) -> u64 {
    const LINE: usize = 16;
    let (left, right) = words.split_at(words.len() / 2);
    let ((first, second), (third, fourth)) = (left.split_at(left.len() / 2), right.split_at(right.len() / 2));
    let mut parts = [first, second, third, fourth].map(|part| part.chunks_exact(LINE));
    let mut sums = [[0_u64; LINE]; 4];
    while let [Some(one), Some(two), Some(three), Some(four)] = parts.each_mut().map(Iterator::next) {
        for idx in 0..LINE {
            sums[0][idx] = sums[0][idx].wrapping_add(one[idx]);
            sums[1][idx] = sums[1][idx].wrapping_add(two[idx]);
            sums[2][idx] = sums[2][idx].wrapping_add(three[idx]);
            sums[3][idx] = sums[3][idx].wrapping_add(four[idx]);
        }
    }
    sums.iter().flatten().fold(0, |all, sum| all.wrapping_add(*sum))
}
