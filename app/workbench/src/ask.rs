//! A question about what a viewer shows: the pixels that the model will see, and the question around them.
//!
//! The view is read at the resolution that the model takes, so that what is shown beside the answer is what
//! was asked about. Held true by the tests below.

use std::sync::Arc;

use eosin_core::RegionScale;
use eosin_session::{AskOptions, ModelInfo, Question};

use crate::encode::encode_jpeg;
use crate::error::WorkbenchError;
use crate::registry::SlideKey;
use crate::view::ViewRect;
use crate::workbench::Workbench;

/// Pixels beyond which a view is not read, whatever the model could take: 1280 tokens of 28 × 28 px.
const MOST_PIXELS: u64 = 1280 * 28 * 28;

/// What a person asks, and about which view.
#[derive(Clone, Debug)]
pub struct ViewQuestion {
    /// The slide.
    pub slide: SlideKey,
    /// The part of it that is shown.
    pub view: ViewRect,
    /// The question.
    pub text: String,
    /// Choices to choose from; none for an open question.
    pub choices: Vec<String>,
    /// Settings other than the model's own.
    pub options: AskOptions,
}

/// What the model will see of a view.
#[derive(Clone, PartialEq, Debug)]
pub struct SeenView {
    /// The pixels, as a JPEG for the person who asks; the model gets them unencoded.
    pub jpeg: Vec<u8>,
    /// Width and height that the model takes.
    pub size_px: [u32; 2],
    /// Tokens that the picture becomes.
    pub n_token: usize,
    /// Scale of these pixels, where the slide states its own.
    pub um_per_px: Option<f64>,
}

impl Workbench {
    /// Reads the view and puts the question together; the worker answers it.
    ///
    /// # Errors
    /// [`WorkbenchError::NotOpen`], [`WorkbenchError::EmptyView`], [`WorkbenchError::Slide`], and
    /// [`WorkbenchError::Unseeable`] for a view whose shape the model does not take.
    pub fn question(
        &self,
        model: &ModelInfo,
        ask: ViewQuestion,
    ) -> Result<(Question, SeenView), WorkbenchError> {
        let budget_px = model.preprocess.max_pixels.min(MOST_PIXELS);
        let (region, tile) = self.read_view(&ask.slide, ask.view, budget_px)?;
        let mpp = self.slide(&ask.slide)?.slide.info().mpp;
        let unseeable = |error: &dyn std::error::Error| WorkbenchError::Unseeable(error.to_string().into());
        let size_px = model.preprocess.target_px(tile.size_px()).map_err(|error| unseeable(&error))?;
        let unit_px = model.preprocess.patch_px * model.preprocess.merge;
        let seen = SeenView {
            jpeg: encode_jpeg(&tile)?,
            size_px,
            n_token: (size_px[0] / unit_px) as usize * (size_px[1] / unit_px) as usize,
            um_per_px: mpp.map(|mpp| match region.scale {
                // The model resizes once more, by a little, to whole patches.
                RegionScale::Downsample(downsample) => {
                    mpp.um_per_px() * downsample * f64::from(tile.width_px()) / f64::from(size_px[0])
                }
                RegionScale::Mpp(mpp) => mpp.um_per_px(),
            }),
        };
        let mut question = Question::about(vec![Arc::new(tile)], &ask.text);
        question.choices = ask.choices;
        question.options = ask.options;
        Ok((question, seen))
    }
}
