//! Recall against the exact index; a file that is cut, changed or of another model; keys that come and go.

use std::sync::Arc;

use eosin_core::Embedding;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::FlatIndex;

const MODEL: &str = "sha256:drawn";

fn space(d_embed: usize) -> Space {
    Space { model: MODEL.into(), d_embed }
}

/// Vectors in clusters, as embeddings of tissue are; the clusters are those of every seed.
fn clustered(n: usize, d_embed: usize, seed: u64) -> Vec<Embedding> {
    let model: Arc<str> = MODEL.into();
    let normal = |seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        move || (0..4).map(|_| random.random_range(-1.0_f32..1.0)).sum::<f32>()
    };
    let (mut centre, mut noise) = (normal(0), normal(seed));
    let centres: Vec<Vec<f32>> = (0..40).map(|_| (0..d_embed).map(|_| centre()).collect()).collect();
    let near = |idx: usize| centres[idx % 40].iter().map(|value| value + 0.6 * noise()).collect();
    let vectors: Vec<Vec<f32>> = (0..n).map(near).collect();
    vectors.into_iter().map(|values| Embedding::new(model.clone(), values).unwrap()).collect()
}

fn filled(embeddings: &[Embedding]) -> VectorIndex {
    let index = VectorIndex::new(Space::of(&embeddings[0])).unwrap();
    let vectors: Vec<_> = embeddings.iter().zip(10..).map(|(e, key)| (key, e.values())).collect();
    index.add_many(&vectors, MODEL).unwrap();
    index
}

#[test]
fn nearly_all_neighbours_are_found_and_scores_are_exact() {
    let embeddings = clustered(12_000, 64, 1);
    let mut flat = FlatIndex::new(space(64)).unwrap();
    for (embedding, key) in embeddings.iter().zip(10..) {
        flat.add(key, embedding).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = filled(&embeddings);
    index.save(&path).unwrap();
    let opened = VectorIndex::open(&path, &space(64)).unwrap();
    let queries = clustered(200, 64, 2);
    for index in [&index, &opened] {
        let (mut n_right, mut n_asked) = (0, 0);
        for query in &queries {
            let expected = flat.search(query, 10).unwrap();
            let found = index.search(query, 10).unwrap();
            assert_eq!(found.len(), 10);
            assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
            for neighbour in &found {
                let cosine = query.cosine(&embeddings[neighbour.key as usize - 10]).unwrap();
                assert!((cosine - neighbour.score).abs() < 1e-6);
            }
            n_asked += expected.len();
            n_right += expected.iter().filter(|e| found.iter().any(|f| f.key == e.key)).count();
        }
        assert!(n_right * 100 >= n_asked * 98, "{n_right} of {n_asked}");
    }
    // Filters keep what they say, and a small selection is exact.
    let query = &queries[0];
    let odd = opened.search_where(query, 10, |key| key % 2 == 1).unwrap();
    assert!(odd.len() == 10 && odd.iter().all(|found| found.key % 2 == 1));
    let few: Vec<u64> = (10..12_010).step_by(97).collect();
    let among = opened.search_among(query, 3, few.iter().copied()).unwrap();
    let best = flat.search(query, 12_000).unwrap().into_iter().filter(|found| few.contains(&found.key));
    assert_eq!(among, best.take(3).collect::<Vec<_>>());
}

#[test]
fn keys_come_and_go() {
    let embeddings = clustered(2500, 16, 3);
    let index = filled(&embeddings);
    assert!(matches!(index.add(10, &embeddings[0]), Err(IndexError::Occupied { key: 10 })));
    assert!(index.remove(10).unwrap() && !index.remove(10).unwrap());
    assert_ne!(index.search(&embeddings[0], 1).unwrap()[0].key, 10);
    assert!(index.embedding(10).unwrap().is_none());
    index.add(99_999, &embeddings[0]).unwrap();
    assert_eq!(index.search(&embeddings[0], 1).unwrap()[0].key, 99_999);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    index.save(&path).unwrap();
    // Saved and opened ones go on growing, shrinking, and being saved over themselves.
    for index in [index, VectorIndex::open(&path, &space(16)).unwrap()] {
        index.add(10, &embeddings[0]).unwrap();
        assert!(index.remove(99_999).unwrap());
        index.save(&path).unwrap();
        let again = VectorIndex::open(&path, &space(16)).unwrap();
        assert_eq!((again.n_vector(), again.keys()), (2500, (10..2510).collect()));
        assert_eq!(again.search(&embeddings[7], 1).unwrap()[0].key, 17);
        assert_eq!(again.embedding(17).unwrap().unwrap().values().len(), 16);
        again.remove(10).unwrap();
        again.add(99_999, &embeddings[0]).unwrap();
        again.save(&path).unwrap();
    }
    let empty = VectorIndex::new(space(16)).unwrap();
    assert!(empty.search(&embeddings[0], 5).unwrap().is_empty());
    empty.save(&path).unwrap();
    assert_eq!(VectorIndex::open(&path, &space(16)).unwrap().n_vector(), 0);
}

#[test]
fn another_models_vectors_are_refused() {
    let index = filled(&clustered(4, 8, 4));
    let other = Embedding::new("another".into(), vec![1.0; 8]).unwrap();
    let longer = Embedding::new(MODEL.into(), vec![1.0; 9]).unwrap();
    for embedding in [&other, &longer] {
        assert!(matches!(index.add(1, embedding), Err(IndexError::OtherModel { .. })));
        assert!(matches!(index.search(embedding, 1), Err(IndexError::OtherModel { .. })));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    index.save(&path).unwrap();
    let space = Space { model: "another".into(), d_embed: 8 };
    assert!(matches!(VectorIndex::open(&path, &space), Err(IndexError::OtherModel { .. })));
    assert!(matches!(VectorIndex::new(Space { d_embed: 0, ..space }), Err(IndexError::BadDimension { .. })));
    let absent = folder.path().join("absent");
    assert!(matches!(VectorIndex::open(&absent, &self::space(8)), Err(IndexError::Missing { .. })));
}

/// Every cut and every changed byte is found, at the latest when the vector is read; nothing panics or crashes.
#[test]
fn a_damaged_file_is_told_and_never_loaded() {
    let embeddings = clustered(30, 8, 5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    filled(&embeddings).save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let outcome = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        VectorIndex::open(&path, &space(8)).and_then(|index| index.search(&embeddings[0], 3))
    };
    let expected = outcome(&whole).unwrap();
    for n_byte in (0..400).chain((400..whole.len()).step_by(11)) {
        assert!(matches!(outcome(&whole[..n_byte]), Err(IndexError::Damaged { .. })), "cut at {n_byte}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(matches!(outcome(&longer), Err(IndexError::Damaged { .. })));
    // All of the header and the keys, and samples of what follows.
    for at in (0..400).chain((400..whole.len()).step_by(23)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(matches!(outcome(&bytes), Err(IndexError::Damaged { .. })), "byte {at}");
    }
    // Lengths that no memory holds are refused by the length of the file.
    let header = r#"{"model":"sha256:drawn","d_embed":8,"n_vector":18446744073709551615,"graph_bytes":1}"#;
    let mut bytes = whole[..12].to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend([0; 32]);
    bytes.extend(header.as_bytes());
    assert!(matches!(outcome(&bytes), Err(IndexError::Damaged { .. })));
    assert_eq!(outcome(&whole).unwrap(), expected);
}

/// A save that fails leaves the old file.
#[test]
fn a_failed_save_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let index = filled(&clustered(5, 8, 6));
    let path = folder.path().join("gone").join("index");
    assert!(matches!(index.save(&path), Err(IndexError::Io { .. })));
    assert_eq!(index.n_vector(), 5);
    let path = folder.path().join("index");
    index.save(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}
