//! A stand-in for the model, and the order in which the thread takes its work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

/// Embeds by mean colours of a 3 × 3 grid, so that alike pictures are near; slowly, if told so.
pub(crate) struct ColourModel {
    pub(crate) name: &'static str,
    pub(crate) pause: Duration,
    pub(crate) n_tile: Arc<AtomicUsize>,
}

const D_EMBED: usize = 27;

impl ColourModel {
    pub(crate) fn id(name: &'static str) -> ModelId {
        ModelId { name: name.to_owned(), hash: format!("sha256:{name}").into(), d_embed: D_EMBED }
    }

    pub(crate) fn worker(name: &'static str) -> EmbedWorker {
        EmbedWorker::spawn_with(move || {
            Ok(Box::new(Self { name, pause: Duration::ZERO, n_tile: Arc::default() }))
        })
    }

    pub(crate) fn embed(name: &str, tile: &RgbTile) -> Embedding {
        let [width, height] = tile.size_px().map(|side| side as usize);
        let mut sums = [0.01_f32; D_EMBED];
        for (idx, px) in tile.pixels().as_chunks::<3>().0.iter().enumerate() {
            let cell = (idx / width * 3 / height) * 3 + idx % width * 3 / width;
            for (channel, value) in px.iter().enumerate() {
                sums[cell * 3 + channel] += (f32::from(*value) - 127.0) / (width * height) as f32;
            }
        }
        Embedding::new(format!("sha256:{name}").into(), sums.to_vec()).unwrap()
    }
}

impl Embeds for ColourModel {
    fn model(&self) -> Result<EmbedModel, EmbedError> {
        Ok(EmbedModel {
            id: Self::id(self.name),
            notice: None,
            summary: String::new(),
            device: "none".into(),
            reads_words: true,
            logit_scale: 20.0,
        })
    }

    fn tiles(&self, tiles: &[RgbTile]) -> Result<Vec<Embedding>, EmbedError> {
        std::thread::sleep(self.pause * tiles.len() as u32);
        self.n_tile.fetch_add(tiles.len(), Ordering::SeqCst);
        Ok(tiles.iter().map(|tile| Self::embed(self.name, tile)).collect())
    }

    /// Words that end in a colour are near pictures of that colour.
    fn words(&self, words: &[String]) -> Result<Vec<Embedding>, EmbedError> {
        let of = |word: &String| {
            let colour = match word.rsplit(' ').next() {
                Some("pink") => [230, 130, 180],
                Some("blue") => [70, 60, 160],
                Some("bug") => panic!("on purpose"),
                _ => [250, 250, 250],
            };
            Self::embed(self.name, &RgbTile::new([3, 3], colour.repeat(9)).unwrap())
        };
        Ok(words.iter().map(of).collect())
    }
}

#[test]
fn a_question_goes_before_the_rest_of_a_batch() {
    let n_tile = Arc::new(AtomicUsize::new(0));
    let counter = n_tile.clone();
    let worker = Arc::new(EmbedWorker::spawn_with(move || {
        Ok(Box::new(ColourModel { name: "m", pause: Duration::from_millis(2), n_tile: counter }))
    }));
    assert_eq!(worker.wait().unwrap().id, ColourModel::id("m"));
    let tile = || RgbTile::new([2, 2], vec![9; 12]).unwrap();
    let for_batch = worker.clone();
    let batch = std::thread::Builder::new()
        .spawn(move || for_batch.embed_batch((0..800).map(|_| tile()).collect()).unwrap().len())
        .unwrap();
    while n_tile.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(worker.embed_tiles(vec![tile()]).unwrap().len(), 1);
    assert!(n_tile.load(Ordering::SeqCst) < 400, "the question waited for the batch");
    assert_eq!(batch.join().unwrap(), 800);
    assert!(worker.embed_batch(Vec::new()).unwrap().is_empty());
}

#[test]
fn a_panic_is_an_error_and_the_thread_lives_on() {
    let worker = ColourModel::worker("m");
    assert!(matches!(worker.embed_words(vec!["bug".into()]), Err(LibraryError::Panic { .. })));
    assert_eq!(worker.embed_words(vec!["pink".into()]).unwrap().len(), 1);
}

#[test]
fn a_model_that_does_not_open_fails_everything_alike() {
    let worker = EmbedWorker::spawn(ClipSource::Path("/nowhere/at/all".into()), DeviceChoice::Cpu);
    let told = |error: LibraryError| eosin_core::error_chain(&error);
    let first = told(worker.wait().unwrap_err());
    assert!(first.contains("no CLIP model"), "{first}");
    assert_eq!(told(worker.embed_words(vec!["a".into()]).unwrap_err()), first);
    assert!(matches!(worker.state(), EmbedState::Failed(_)));
}
