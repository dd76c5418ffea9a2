//! Zero-shot labels: which of some named classes each tile of a slide is most like.
//!
//! A class is a few sentences with its name in them, embedded and averaged (Radford et al. 2021, section 3.1.4);
//! probabilities are the softmax of cosines times the model's own scale. They compare the named classes with each
//! other and say nothing of others.

use std::sync::mpsc::sync_channel;

use eosin_core::{Embedding, RgbTile};
use eosin_slide::Slide;

use crate::embed::EmbedWorker;
use crate::error::LibraryError;
use crate::heatmap::Heatmap;
use crate::indexing::caught;
use crate::item::{Place, Recipe};
use crate::plan::{TileGrid, base_um_per_px};
use crate::tissue::TissueMask;

/// Sentences that a class's name is put into, where `{}` stands.
pub const CLASS_PROMPTS: [&str; 4] =
    ["a histopathology image of {}", "a microscopic image showing {}", "this tissue section shows {}", "{}"];

/// Tiles that are embedded at a time.
const N_TILE: usize = 32;

/// How a slide is classified.
#[derive(Clone, PartialEq, Debug)]
pub struct ClassifyOptions {
    /// Scale and size of tiles, share of tissue.
    pub recipe: Recipe,
    /// Sentences that a class's name is put into, where `{}` stands.
    pub prompts: Vec<String>,
}

impl Default for ClassifyOptions {
    fn default() -> Self {
        Self { recipe: Recipe::default(), prompts: CLASS_PROMPTS.map(str::to_owned).to_vec() }
    }
}

/// Says of each tile with tissue how probable each class is among those named.
///
/// `progress` is told tiles done and tiles in all, after each batch; `cancelled` is asked before each.
///
/// # Errors
/// [`LibraryError::NoClass`], [`LibraryError::NoTissue`], [`LibraryError::Stopped`], a slide or model that fails.
pub fn classify(
    slide: &Slide,
    worker: &EmbedWorker,
    classes: &[String],
    options: &ClassifyOptions,
    progress: &mut dyn FnMut(usize, usize),
    cancelled: &dyn Fn() -> bool,
) -> Result<Heatmap, LibraryError> {
    let model = worker.wait()?;
    let class_vectors = embed_classes(worker, classes, &options.prompts)?;
    let info = slide.info();
    let base_px = info.base_px();
    let base = base_um_per_px(info);
    let grid = TileGrid::new(base_px, base, &options.recipe);
    let mask = TissueMask::of(&slide.thumbnail(grid.mask_px(base_px))?);
    let wanted: Vec<(usize, Place)> = grid
        .places()
        .enumerate()
        .filter(|(_, place)| grid.share_of(&mask, place, base_px) >= options.recipe.tissue_share)
        .collect();
    if wanted.is_empty() {
        return Err(LibraryError::NoTissue);
    }
    let mut heatmap = Heatmap {
        slide: info.id.clone(),
        base_px,
        classes: classes.to_vec(),
        probabilities: vec![None; grid.columns.len() * grid.rows.len()],
        tile_base_px: grid.size_px.map(|side| f64::from(side) * grid.downsample),
        columns: grid.columns,
        rows: grid.rows,
        um_per_px: base.map(|base| base * grid.downsample),
        shares: Vec::new(),
        n_tile: wanted.len(),
        n_unreadable: 0,
    };
    progress(0, wanted.len());
    // Reading goes ahead of the model by one batch.
    let (batches, arrived) = sync_channel::<Vec<(usize, Option<RgbTile>)>>(1);
    std::thread::scope(|scope| {
        let wanted = &wanted;
        let reading =
            std::thread::Builder::new().name("eosin-tiles".to_owned()).spawn_scoped(scope, move || {
                for places in wanted.chunks(N_TILE) {
                    let read = |(idx, place): &(usize, Place)| {
                        let tile = caught(|| Ok(slide.read(&place.region(&slide.info().id))?));
                        (*idx, tile.ok())
                    };
                    if batches.send(places.iter().map(read).collect()).is_err() {
                        return;
                    }
                }
            });
        reading.map_err(|_no_thread| LibraryError::Gone)?;
        // Taken in here, so that it goes where this ends early: the reader must not wait for nobody.
        let arrived = arrived;
        let mut n_done = 0;
        while let Ok(batch) = arrived.recv() {
            if cancelled() {
                return Err(LibraryError::Stopped);
            }
            n_done += batch.len();
            heatmap.n_unreadable += batch.iter().filter(|(_, tile)| tile.is_none()).count();
            let (idxs, tiles): (Vec<usize>, Vec<RgbTile>) =
                batch.into_iter().filter_map(|(idx, tile)| Some((idx, tile?))).unzip();
            for (idx, embedding) in idxs.into_iter().zip(worker.embed_batch(tiles)?) {
                heatmap.probabilities[idx] =
                    Some(probabilities(&embedding, &class_vectors, model.logit_scale)?);
            }
            progress(n_done, wanted.len());
        }
        Ok(())
    })?;
    heatmap.count_shares();
    Ok(heatmap)
}

/// One vector a class: the mean direction of its sentences.
fn embed_classes(
    worker: &EmbedWorker,
    classes: &[String],
    prompts: &[String],
) -> Result<Vec<Embedding>, LibraryError> {
    if classes.is_empty() || prompts.is_empty() {
        return Err(LibraryError::NoClass);
    }
    let sentence = |class: &String, prompt: &String| prompt.replace("{}", class.trim());
    let sentences =
        classes.iter().flat_map(|class| prompts.iter().map(move |prompt| sentence(class, prompt)));
    let embeddings = worker.embed_words(sentences.collect())?;
    let mean = |embeddings: &[Embedding]| {
        let mut sums = vec![0.0; embeddings[0].values().len()];
        for embedding in embeddings {
            for (sum, value) in sums.iter_mut().zip(embedding.values()) {
                *sum += value;
            }
        }
        // Sentences that point in opposite directions leave none: the first one then stands for the class.
        Embedding::new(embeddings[0].model().clone(), sums).unwrap_or_else(|_none| embeddings[0].clone())
    };
    Ok(embeddings.chunks_exact(prompts.len()).map(mean).collect())
}

/// Softmax of the cosines times the model's scale.
fn probabilities(
    embedding: &Embedding,
    classes: &[Embedding],
    logit_scale: f32,
) -> Result<Vec<f32>, LibraryError> {
    let mut logits = Vec::with_capacity(classes.len());
    for class in classes {
        let cosine = embedding.cosine(class).map_err(|_other_model| LibraryError::OtherModel {
            indexed: class.model().to_string(),
            other: embedding.model().to_string(),
        })?;
        logits.push(cosine * logit_scale);
    }
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    Ok(powers.iter().map(|power| power / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::tests::ColourModel;

    /// A slide of 4 × 2 tiles of 224 px: two of pink tissue, two of blue, the rest glass.
    fn slide(folder: &std::path::Path) -> Slide {
        let colour = |x: u32, y: u32| match (x / 224, y / 224) {
            (0, _) => [225, 130, 180],
            (3, _) => [75, 60, 165],
            _ => [245, 244, 246],
        };
        let path = folder.join("slide.png");
        image::RgbImage::from_fn(896, 448, |x, y| image::Rgb(colour(x, y))).save(&path).unwrap();
        Slide::open(&path).unwrap()
    }

    #[test]
    fn classes_are_told_apart_where_there_is_tissue() {
        let folder = tempfile::tempdir().unwrap();
        let slide = slide(folder.path());
        let worker = ColourModel::worker("m");
        let classes = ["pink".to_owned(), "blue".to_owned()];
        let mut told = Vec::new();
        let options = ClassifyOptions::default();
        let mut progress = |done, total| told.push((done, total));
        let heatmap = classify(&slide, &worker, &classes, &options, &mut progress, &|| false).unwrap();
        assert_eq!((heatmap.columns.len(), heatmap.rows.len(), heatmap.n_tile), (4, 2, 4));
        assert_eq!(heatmap.shares, [0.5, 0.5]);
        let winners: Vec<_> = heatmap.tiles().map(|tile| (tile.origin_base_px, tile.winner)).collect();
        assert_eq!(winners, [([0, 0], 0), ([672, 0], 1), ([0, 224], 0), ([672, 224], 1)]);
        for tile in heatmap.tiles() {
            assert!((tile.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert_eq!(told, [(0, 4), (4, 4)]);
        assert!(heatmap.png(&slide, 100, crate::HeatmapView::Winner).unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn what_cannot_be_classified_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let worker = ColourModel::worker("m");
        let options = ClassifyOptions::default();
        let run = |slide: &Slide, classes: &[String], cancelled: bool| {
            classify(slide, &worker, classes, &options, &mut |_, _| {}, &|| cancelled)
        };
        let tissue = slide(folder.path());
        let classes = ["pink".to_owned()];
        assert!(matches!(run(&tissue, &[], false), Err(LibraryError::NoClass)));
        assert!(matches!(run(&tissue, &classes, true), Err(LibraryError::Stopped)));
        // Broken off in the middle, while tiles are being read ahead.
        let recipe = Recipe { tile_px: 16, ..Recipe::default() };
        let fine = ClassifyOptions { recipe, ..ClassifyOptions::default() };
        let n_asked = std::cell::Cell::new(0);
        let after_two = || n_asked.replace(n_asked.get() + 1) == 2;
        let outcome = classify(&tissue, &worker, &classes, &fine, &mut |_, _| {}, &after_two);
        assert!(matches!(outcome, Err(LibraryError::Stopped)) && n_asked.get() == 3);
        let path = folder.path().join("glass.png");
        image::RgbImage::from_pixel(500, 500, image::Rgb([245, 244, 246])).save(&path).unwrap();
        assert!(matches!(run(&Slide::open(&path).unwrap(), &classes, false), Err(LibraryError::NoTissue)));
    }
}
