//! The same sizes from GGUF metadata, as llama.cpp's converter writes them.

use eosin_weights::{Gguf, Meta, WeightError, WeightSource as _};

use super::{Config, TextConfig, TokenIds, VisionConfig};
use crate::ModelError;

const TEXT: &str = "the GGUF file";
const PROJECTOR: &str = "the mmproj file";

/// A metadata error as one of ours; the container's message names file and key.
fn key(name: &str) -> impl FnOnce(WeightError) -> ModelError {
    let key = name.to_owned();
    move |source| ModelError::Metadata { key, source }
}

fn count(meta: &Meta, name: &str) -> Result<usize, ModelError> {
    Ok(meta.u32(name).map_err(key(name))? as usize)
}

fn count_or(meta: &Meta, name: &str, default: usize) -> Result<usize, ModelError> {
    if meta.contains(name) { count(meta, name) } else { Ok(default) }
}

fn number(meta: &Meta, name: &str, file: &'static str) -> Result<f64, ModelError> {
    let number = f64::from(meta.f32(name).map_err(key(name))?);
    if number.is_finite() && number > 0.0 {
        // 1e-6 was written as f32: six digits give back what was meant.
        Ok(format!("{number:.6e}").parse().unwrap_or(number))
    } else {
        Err(ModelError::WrongKey { key: name.to_owned(), expected: "a positive number".into(), file })
    }
}

/// Refuses any other value of a key that names a kind of model.
fn expect(meta: &Meta, name: &str, expected: &'static str, file: &'static str) -> Result<(), ModelError> {
    let found = meta.str(name).map_err(key(name))?;
    if found == expected {
        return Ok(());
    }
    let found = found.chars().take(80).flat_map(char::escape_debug).collect();
    Err(ModelError::UnknownArchitecture { found, expected, file })
}

/// The extent of one axis of a tensor.
fn extent(gguf: &Gguf, name: &str, axis: usize) -> Result<usize, ModelError> {
    let weights = |source| ModelError::Weights { name: name.to_owned(), source };
    let tensor = gguf.tensor(name).map_err(weights)?;
    tensor.shape.get(axis).copied().ok_or_else(|| ModelError::TensorShape {
        name: name.to_owned(),
        expected: vec![0; axis + 1],
        found: tensor.shape.clone(),
    })
}

impl Config {
    /// Reads the metadata of a text model and, where there is one, of its projector.
    ///
    /// # Errors
    /// [`ModelError::UnknownArchitecture`], [`ModelError::Metadata`] or [`ModelError::WrongKey`], which name the
    /// key.
    pub fn from_gguf(text: &Gguf, mmproj: Option<&Gguf>) -> Result<Self, ModelError> {
        let meta = text.meta();
        expect(meta, "general.architecture", "qwen2vl", TEXT)?;
        let text_config = read_text(text)?;
        let tokens = read_tokens(meta, mmproj.is_some())?;
        let vision = mmproj.map(|mmproj| read_vision(mmproj.meta(), text_config.d_model)).transpose()?;
        Self { text: text_config, vision, tokens }.check(TEXT)
    }
}

fn read_text(gguf: &Gguf) -> Result<TextConfig, ModelError> {
    let meta = gguf.meta();
    let (d_model, n_head) =
        (count(meta, "qwen2vl.embedding_length")?, count(meta, "qwen2vl.attention.head_count")?);
    let section_key = "qwen2vl.rope.dimension_sections";
    let section = meta.u32s(section_key).map_err(key(section_key))?;
    // Four numbers in the files of llama.cpp, the last always zero.
    let mrope_section = match section[..] {
        [t, h, w] | [t, h, w, 0] => [t, h, w].map(|n| n as usize),
        _ => {
            let expected = "three counts and a zero".to_owned();
            return Err(ModelError::WrongKey { key: section_key.to_owned(), expected, file: TEXT });
        }
    };
    Ok(TextConfig {
        n_vocab: extent(gguf, "token_embd.weight", 0)?,
        d_model,
        d_ffn: count(meta, "qwen2vl.feed_forward_length")?,
        n_layer: count(meta, "qwen2vl.block_count")?,
        n_head,
        n_kv_head: count_or(meta, "qwen2vl.attention.head_count_kv", n_head)?,
        d_head: count_or(meta, "qwen2vl.attention.key_length", d_model / n_head.max(1))?,
        rms_eps: number(meta, "qwen2vl.attention.layer_norm_rms_epsilon", TEXT)?,
        rope_theta: number(meta, "qwen2vl.rope.freq_base", TEXT)?,
        mrope_section,
        tied: !gguf.contains("output.weight"),
    })
}

/// Special tokens have no keys of their own: they are found by their text.
fn read_tokens(meta: &Meta, needed: bool) -> Result<TokenIds, ModelError> {
    let name = "tokenizer.ggml.tokens";
    let tokens = meta.strings(name).map_err(key(name))?;
    let find = |text: &str| match tokens.iter().position(|token| token == text) {
        Some(id) => Ok(id as u32),
        // A text model alone may do without.
        None if !needed => Ok(u32::MAX),
        None => {
            let expected = format!("a list with the token {text}");
            Err(ModelError::WrongKey { key: name.to_owned(), expected, file: TEXT })
        }
    };
    Ok(TokenIds {
        vision_start: find("<|vision_start|>")?,
        vision_end: find("<|vision_end|>")?,
        image_pad: find("<|image_pad|>")?,
    })
}

fn read_vision(meta: &Meta, d_text: usize) -> Result<VisionConfig, ModelError> {
    expect(meta, "general.architecture", "clip", PROJECTOR)?;
    expect(meta, "clip.projector_type", "qwen2.5vl_merger", PROJECTOR)?;
    let n_layer = count(meta, "clip.vision.block_count")?;
    let full_attention = if meta.contains("clip.vision.wa_layer_indexes") {
        let name = "clip.vision.wa_layer_indexes";
        meta.u32s(name).map_err(key(name))?.into_iter().map(|layer| layer as usize).collect()
    } else {
        let pattern = count(meta, "clip.vision.n_wa_pattern")?;
        // Zero means that no block is windowed.
        (0..n_layer.min(1 << 16))
            .filter(|layer| pattern == 0 || (layer + 1).is_multiple_of(pattern))
            .collect()
    };
    Ok(VisionConfig {
        n_layer,
        d_model: count(meta, "clip.vision.embedding_length")?,
        d_ffn: count(meta, "clip.vision.feed_forward_length")?,
        n_head: count(meta, "clip.vision.attention.head_count")?,
        d_out: count_or(meta, "clip.vision.projection_dim", d_text)?,
        n_channel: 3,
        patch_px: count(meta, "clip.vision.patch_size")?,
        n_frame: 2,
        merge: count_or(meta, "clip.vision.spatial_merge_size", 2)?,
        window_px: count_or(meta, "clip.vision.window_size", 112)?,
        full_attention,
        rms_eps: number(meta, "clip.vision.attention.layer_norm_epsilon", PROJECTOR)?,
    })
}
