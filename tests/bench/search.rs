//! Time and recall of a search among clustered random vectors, re-scoring included, beside the exact index.
//!
//! ```text
//! cargo bench -p eosin-index --bench search -- 100000 1000000
//! ```
//! One JSON line a size. The index is built, saved, opened again (so that exact vectors are read from its file, as in
//! use) and asked by vectors that are not in it, one at a time, on one thread. `spread`: vectors of a cluster differ
//! in 32 directions and a little in all, as embeddings do; `--even`: in all directions alike, which no graph likes.

#![expect(clippy::print_stdout, reason = "a measurement's product is what it prints")]

use std::sync::Arc;
use std::time::Instant;

use eosin_core::Embedding;
use eosin_index::{FlatIndex, Space, VectorIndex};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

const D_EMBED: usize = 512;
const N_CLUSTER: usize = 300;
const N_DIRECTION: usize = 32;
const N_QUERY: usize = 1000;
/// Queries that the exact index answers as well.
const N_EXACT: usize = 200;
/// Neighbours asked for.
const N_NEAR: usize = 10;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let even = args.iter().any(|arg| arg == "--even");
    let sizes: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    for n in if sizes.is_empty() { vec![100_000] } else { sizes } {
        measure(n, even);
    }
}

/// Draws vectors about centres that all of them share.
struct Vectors {
    centres: Vec<Vec<f32>>,
    directions: Vec<Vec<f32>>,
    random: ChaCha8Rng,
    even: bool,
}

fn normal(random: &mut ChaCha8Rng) -> f32 {
    // The sum of four is near enough to a normal one.
    (0..4).map(|_| random.random_range(-0.87_f32..0.87)).sum()
}

impl Vectors {
    fn new(seed: u64, even: bool) -> Self {
        let mut shared = ChaCha8Rng::seed_from_u64(1);
        let mut rows = |n: usize| -> Vec<Vec<f32>> {
            (0..n).map(|_| (0..D_EMBED).map(|_| normal(&mut shared)).collect()).collect()
        };
        let (centres, directions) = (rows(N_CLUSTER), rows(N_DIRECTION));
        Self { centres, directions, random: ChaCha8Rng::seed_from_u64(seed), even }
    }

    fn next(&mut self) -> Vec<f32> {
        let centre = self.random.random_range(0..N_CLUSTER);
        let mut values = self.centres[centre].clone();
        let small = if self.even { 0.9 } else { 0.15 };
        for value in &mut values {
            *value += small * normal(&mut self.random);
        }
        if !self.even {
            for direction in &self.directions {
                let by = 0.16 * normal(&mut self.random);
                for (value, along) in values.iter_mut().zip(direction) {
                    *value += by * along;
                }
            }
        }
        values
    }
}

fn measure(n: usize, even: bool) {
    let model: Arc<str> = "drawn".into();
    let space = Space { model: model.clone(), d_embed: D_EMBED };
    let embed =
        |values: Vec<f32>| Embedding::new(model.clone(), values).expect("a drawn vector has a length");
    let mut flat = FlatIndex::new(space.clone()).expect("the space is sound");
    let index = VectorIndex::new(space.clone()).expect("the space is sound");
    let mut draw = Vectors::new(2, even);
    let mut build_secs = 0.0;
    for first in (0..n).step_by(10_000) {
        let chunk: Vec<Embedding> = (first..(first + 10_000).min(n)).map(|_| embed(draw.next())).collect();
        let vectors: Vec<(u64, &[f32])> =
            chunk.iter().zip(first as u64..).map(|(embedding, key)| (key, embedding.values())).collect();
        let clock = Instant::now();
        index.add_many(&vectors, &model).expect("the index takes them");
        build_secs += clock.elapsed().as_secs_f64();
        for (embedding, key) in chunk.iter().zip(first as u64..) {
            flat.add(key, embedding).expect("the same space");
        }
    }
    let folder = tempfile::tempdir().expect("a folder for the index");
    let path = folder.path().join("index");
    let clock = Instant::now();
    index.save(&path).expect("the index saves");
    let save_secs = clock.elapsed().as_secs_f64();
    drop(index);
    let clock = Instant::now();
    let index = VectorIndex::open(&path, &space).expect("the index opens");
    let open_secs = clock.elapsed().as_secs_f64();

    let mut draw = Vectors::new(3, even);
    let queries: Vec<Embedding> = (0..N_QUERY).map(|_| embed(draw.next())).collect();
    for query in &queries {
        index.search(query, N_NEAR).expect("a search");
    }
    let (mut times, mut found) = (Vec::new(), Vec::new());
    for query in &queries {
        let clock = Instant::now();
        let near = index.search(query, N_NEAR).expect("a search");
        times.push(clock.elapsed().as_secs_f64() * 1e3);
        found.push(near);
    }
    let (mut exact_times, mut n_right) = (Vec::new(), 0);
    for (query, found) in queries.iter().zip(&found).take(N_EXACT) {
        let clock = Instant::now();
        let exact = flat.search(query, N_NEAR).expect("a search");
        exact_times.push(clock.elapsed().as_secs_f64() * 1e3);
        n_right += exact.iter().filter(|exact| found.iter().any(|near| near.key == exact.key)).count();
    }
    let at = |times: &mut Vec<f64>, share: f64| {
        times.sort_by(f64::total_cmp);
        times[((times.len() - 1) as f64 * share) as usize]
    };
    let line = json!({
        "n_vector": n, "d_embed": D_EMBED, "spread": if even { "even" } else { "low" },
        "recall_at_10": n_right as f64 / (N_EXACT * N_NEAR) as f64,
        "search_ms_p50": at(&mut times, 0.5), "search_ms_p95": at(&mut times, 0.95),
        "exact_ms_p50": at(&mut exact_times, 0.5),
        "build_per_sec": n as f64 / build_secs, "save_secs": save_secs, "open_secs": open_secs,
        "file_mib": std::fs::metadata(&path).map_or(0, |meta| meta.len()) >> 20,
    });
    println!("{line}");
}
