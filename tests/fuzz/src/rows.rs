//! The target `rows`: a file of training data in one of five containers, read to the last picture.

use std::collections::BTreeSet;

use eosin_training::data::{Check, Files, Tally};

/// Endings by the first byte.
pub const ENDINGS: [&str; 5] = ["jsonl", "json", "csv", "tar", "parquet"];
/// Samples that are read of each input.
const N_SAMPLE: u64 = 64;

/// Reads a file of these bytes; says which kinds of things were met.
pub(crate) fn outcome(bytes: &[u8]) -> String {
    let Some((first, content)) = bytes.split_first() else { return "nothing".into() };
    let ending = ENDINGS[usize::from(*first) % ENDINGS.len()];
    // Readers read files; a thread has one of its own.
    let name = format!("eosin-fuzz-{}-{:?}.{ending}", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, content).expect("the temporary folder can be written");
    let mut tally = Tally::default();
    let mut met = BTreeSet::new();
    match (Files { check: Check::None, ..Files::new(&path) }).open(&mut tally) {
        Ok(source) => {
            for idx in 0..source.n_sample().min(N_SAMPLE) {
                met.insert(match source.sample(idx) {
                    Ok(sample) => {
                        assert!(sample.check().is_ok(), "a sample has as many marks as pictures");
                        for picture in &sample.images {
                            let _ = picture.decode();
                        }
                        format!("turns{} images{}", sample.messages.len().min(5), sample.images.len().min(3))
                    }
                    Err(skip) => one_line(&skip.reason),
                });
            }
        }
        Err(error) => {
            met.insert(one_line(&error.to_string()));
        }
    }
    met.extend(tally.skips.iter().take(3).map(|skip| one_line(&skip.reason)));
    let _ = std::fs::remove_file(path);
    format!("{ending} {}", met.into_iter().take(4).collect::<Vec<_>>().join(" "))
}

fn one_line(text: &str) -> String {
    assert!(!text.contains('\n') && text.len() < 4000, "a refusal is one line of sensible length: {text:?}");
    super::kind_of(text)
}
