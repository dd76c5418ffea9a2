//! Sizes of a Qwen2.5-VL model, read from `config.json` or from GGUF metadata.
//!
//! Nothing about a checkpoint is assumed but its architecture: every width, count and constant comes from
//! the file, so that a model of two layers and 32 channels runs as the released ones do. Both layouts of
//! `config.json` are read (settings of the text model at the top, or under `text_config`).
//! Held true by the tests below and `tests/parity_qwen.rs`.

mod gguf;
mod hf;

use crate::ModelError;

/// Sizes of the text decoder.
#[derive(Clone, PartialEq, Debug)]
pub struct TextConfig {
    /// Rows of the embedding.
    pub n_vocab: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width inside the gated MLP.
    pub d_ffn: usize,
    /// Number of blocks.
    pub n_layer: usize,
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads; divides `n_head`.
    pub n_kv_head: usize,
    /// Width of a head.
    pub d_head: usize,
    /// ε of `RMSNorm`.
    pub rms_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Frequencies given to the temporal, row and column axis; their sum is half a head.
    pub mrope_section: [usize; 3],
    /// Whether the output matrix is the embedding.
    pub tied: bool,
}

/// Sizes of the vision tower and its merger.
#[derive(Clone, PartialEq, Debug)]
pub struct VisionConfig {
    /// Number of blocks.
    pub n_layer: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width inside the gated MLP.
    pub d_ffn: usize,
    /// Attention heads.
    pub n_head: usize,
    /// Width of the merger's output: that of the text model.
    pub d_out: usize,
    /// Colour channels of a patch.
    pub n_channel: usize,
    /// Side of a patch.
    pub patch_px: usize,
    /// Frames in a patch; a still picture is repeated.
    pub n_frame: usize,
    /// Patches merged along one side.
    pub merge: usize,
    /// Side of an attention window.
    pub window_px: usize,
    /// Blocks that attend within the whole picture, not within windows.
    pub full_attention: Vec<usize>,
    /// ε of `RMSNorm`.
    pub rms_eps: f64,
}

/// Tokens that mean something to the model itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenIds {
    /// Opens a picture.
    pub vision_start: u32,
    /// Closes a picture.
    pub vision_end: u32,
    /// Stands for one merged cell of a picture.
    pub image_pad: u32,
}

/// Everything that is known of a Qwen2.5-VL model before its weights.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The text decoder.
    pub text: TextConfig,
    /// The vision tower, where the model has one.
    pub vision: Option<VisionConfig>,
    /// Special tokens.
    pub tokens: TokenIds,
}

impl VisionConfig {
    /// Width of a head.
    pub fn d_head(&self) -> usize {
        self.d_model / self.n_head
    }

    /// Numbers in a flattened patch: channels × frames × side².
    pub fn d_patch(&self) -> usize {
        self.n_channel * self.n_frame * self.patch_px * self.patch_px
    }

    /// Patches that merge into one token.
    pub fn cell(&self) -> usize {
        self.merge * self.merge
    }

    /// Side of an attention window in merged cells.
    pub fn window(&self) -> usize {
        (self.window_px / self.patch_px / self.merge).max(1)
    }
}

impl Config {
    /// Refuses sizes that contradict each other; `file` is for the message.
    fn check(self, file: &'static str) -> Result<Self, ModelError> {
        let wrong =
            |key: &str, expected: String| ModelError::WrongKey { key: key.to_owned(), expected, file };
        let text = &self.text;
        let counts = [
            ("vocab_size", text.n_vocab),
            ("hidden_size", text.d_model),
            ("intermediate_size", text.d_ffn),
            ("num_hidden_layers", text.n_layer),
            ("num_attention_heads", text.n_head),
            ("num_key_value_heads", text.n_kv_head),
            ("head_dim", text.d_head),
        ];
        if let Some(key) = wrong_count(&counts) {
            return Err(wrong(key, "a positive count".into()));
        }
        let rope_sum: usize = text.mrope_section.iter().fold(0, |sum, n| sum.saturating_add(*n));
        if !text.n_head.is_multiple_of(text.n_kv_head) {
            return Err(wrong("num_key_value_heads", format!("a divisor of {}", text.n_head)));
        }
        if rope_sum.saturating_mul(2) != text.d_head {
            return Err(wrong("mrope_section", format!("three counts with the sum {}", text.d_head / 2)));
        }
        for (key, id) in [
            ("image_token_id", self.tokens.image_pad),
            ("vision_start_token_id", self.tokens.vision_start),
            ("vision_end_token_id", self.tokens.vision_end),
        ] {
            if self.vision.is_some() && id as usize >= text.n_vocab {
                return Err(wrong(key, format!("below {}", text.n_vocab)));
            }
        }
        let Some(vision) = &self.vision else { return Ok(self) };
        let counts = [
            ("vision.depth", vision.n_layer),
            ("vision.hidden_size", vision.d_model),
            ("vision.intermediate_size", vision.d_ffn),
            ("vision.num_heads", vision.n_head),
            ("vision.in_channels", vision.n_channel),
            ("vision.patch_size", vision.patch_px),
            ("vision.temporal_patch_size", vision.n_frame),
            ("vision.spatial_merge_size", vision.merge),
        ];
        if let Some(key) = wrong_count(&counts) {
            return Err(wrong(key, "a positive count".into()));
        }
        if !vision.d_model.is_multiple_of(vision.n_head) || !vision.d_head().is_multiple_of(4) {
            return Err(wrong("vision.num_heads", "such that a head is a multiple of four wide".into()));
        }
        if vision.d_out != text.d_model {
            return Err(wrong(
                "vision.out_hidden_size",
                format!("{}, the width of the text model", text.d_model),
            ));
        }
        if vision.n_channel != 3 {
            return Err(wrong("vision.in_channels", "3".into()));
        }
        Ok(self)
    }
}

/// The first count that is zero or beyond reason: 2²⁴ is far above every model and far below every overflow
/// of a product of two.
fn wrong_count<'a>(counts: &[(&'a str, usize)]) -> Option<&'a str> {
    counts.iter().find(|(_, count)| *count == 0 || *count > 1 << 24).map(|(key, _)| *key)
}
