//! Where parameters come from: a file under one of two naming schemes, or chance.
//!
//! The towers ask for tensors by their Hugging Face names. [`Names`] translates to `open_clip`'s, whose
//! attention keeps query, key and value in one matrix and whose projections lie the other way round; both
//! are undone on the stored bytes. Nothing is believed: each tensor's shape is compared with the
//! configuration before it is unpacked. `tests/parity_clip.rs` loads the same model under both schemes.

use burn::module::Param;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use eosin_weights::{RawTensor, WeightSource};

use super::ClipError;

/// The naming scheme of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// `vision_model.encoder.layers.0.self_attn.q_proj.weight`.
    HuggingFace,
    /// `visual.transformer.resblocks.0.attn.in_proj_weight`; also `OpenAI`'s own.
    OpenClip,
}

impl Style {
    /// The scheme that a file's names follow.
    ///
    /// # Errors
    /// [`ClipError::NotClip`] where it is neither.
    pub fn detect(weights: &dyn WeightSource) -> Result<Self, ClipError> {
        Names::detect(weights).map(|names| names.style)
    }
}

/// A file with its naming scheme.
pub(crate) struct Names<'a> {
    source: &'a dyn WeightSource,
    pub(crate) style: Style,
    /// What stands before every name: `module.` and the like.
    prefix: String,
    /// What `open_clip` puts before the names of the text tower: nothing, or `text.` in its custom models.
    pub(crate) text_prefix: &'static str,
}

/// How a parameter is got from what the file holds.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stored {
    /// As it is.
    Same(String),
    /// The matrix lies the other way round.
    Transposed(String),
    /// Third `part` of the rows.
    Third { name: String, part: usize },
}

impl<'a> Names<'a> {
    pub(crate) fn detect(source: &'a dyn WeightSource) -> Result<Self, ClipError> {
        let names = source.names();
        let prefix_of = |marker: &str| {
            names.iter().find_map(|name| {
                let prefix = name.strip_suffix(marker)?;
                (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
            })
        };
        if let Some(prefix) = prefix_of("vision_model.embeddings.class_embedding") {
            return Ok(Self { source, style: Style::HuggingFace, prefix, text_prefix: "" });
        }
        if let Some(prefix) = prefix_of("visual.class_embedding") {
            let custom = source.contains(&format!("{prefix}text.token_embedding.weight"));
            return Ok(Self {
                source,
                style: Style::OpenClip,
                prefix,
                text_prefix: if custom { "text." } else { "" },
            });
        }
        let met = |part: &str| names.iter().any(|name| name.contains(part));
        let cause = if met("visual.trunk.") {
            "the image tower is a timm model"
        } else if met("visual.attnpool.") {
            "the image tower is a ResNet"
        } else if met("vision_model.") && met("embeddings.patch_embedding.bias") {
            "this is a SigLIP, which has no class token"
        } else if names.is_empty() {
            "the file holds no tensors"
        } else {
            "no class token of an image tower is among the tensors"
        };
        Err(ClipError::NotClip { cause: cause.to_owned() })
    }

    /// Shape of a tensor by its name in the file, without the prefix.
    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>, ClipError> {
        Ok(self.raw(name)?.shape)
    }

    /// How many blocks there are: one more than the largest index behind `stem`.
    pub(crate) fn n_block(&self, stem: &str) -> usize {
        let stem = format!("{}{stem}", self.prefix);
        let idx = |name: &str| name.strip_prefix(&stem)?.split('.').next()?.parse::<usize>().ok();
        let last = self.source.names().into_iter().filter_map(idx).max();
        // An index above the number of tensors cannot belong to whole blocks: loading would miss those
        // between.
        last.map_or(0, |last| last.saturating_add(1).min(self.source.names().len()))
    }

    fn raw(&self, name: &str) -> Result<RawTensor, ClipError> {
        let name = format!("{}{name}", self.prefix);
        self.source.tensor(&name).map_err(|source| ClipError::Weights { source })
    }

    /// Where the file keeps a parameter.
    fn stored(&self, name: &str) -> Stored {
        match self.style {
            Style::HuggingFace => Stored::Same(name.to_owned()),
            Style::OpenClip => {
                let stored = open_clip_name(name, self.text_prefix);
                // Custom text towers may keep the projection as a layer, which lies as ours does.
                match stored {
                    Stored::Transposed(name)
                        if self.source.contains(&format!("{}{name}.weight", self.prefix)) =>
                    {
                        Stored::Same(format!("{name}.weight"))
                    }
                    stored => stored,
                }
            }
        }
    }

    /// A parameter as floats of exactly this shape.
    fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ClipError> {
        let stored = self.stored(name);
        let (file_name, expected) = match &stored {
            Stored::Same(file_name) => (file_name, shape.to_vec()),
            Stored::Transposed(file_name) => (file_name, shape.iter().rev().copied().collect()),
            Stored::Third { name: file_name, .. } => {
                let mut expected = shape.to_vec();
                if let Some(rows) = expected.first_mut() {
                    *rows *= 3;
                }
                (file_name, expected)
            }
        };
        let raw = self.raw(file_name)?;
        // A lone number is stored without axes or with one.
        if raw.shape != expected && !(raw.shape.is_empty() && expected == [1]) {
            return Err(ClipError::Shape {
                name: format!("{}{file_name}", self.prefix),
                expected,
                found: raw.shape,
            });
        }
        Ok(match stored {
            Stored::Same(_) => raw.to_f32(),
            Stored::Transposed(_) => transpose(&raw.to_f32(), [expected[0], expected[1]]),
            Stored::Third { part, .. } => {
                let n_byte = raw.bytes.len() / 3;
                let bytes = raw.bytes.slice(part * n_byte..(part + 1) * n_byte);
                RawTensor { kind: raw.kind, shape: shape.to_vec(), bytes }.to_f32()
            }
        })
    }
}

/// The place of a Hugging Face parameter in an `open_clip` state dict.
fn open_clip_name(name: &str, text_prefix: &str) -> Stored {
    let tower = |rest: &str, tower: &str| -> Option<Stored> {
        let (idx, part) = rest.strip_prefix("encoder.layers.")?.split_once('.')?;
        let block = format!("{tower}transformer.resblocks.{idx}");
        for (part_idx, letter) in ["q", "k", "v"].into_iter().enumerate() {
            if let Some(kind) = part.strip_prefix(&format!("self_attn.{letter}_proj.")) {
                return Some(Stored::Third { name: format!("{block}.attn.in_proj_{kind}"), part: part_idx });
            }
        }
        for (ours, theirs) in [
            ("layer_norm1", "ln_1"),
            ("layer_norm2", "ln_2"),
            ("self_attn.out_proj", "attn.out_proj"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
        ] {
            if let Some(kind) = part.strip_prefix(ours) {
                return Some(Stored::Same(format!("{block}.{theirs}{kind}")));
            }
        }
        None
    };
    let renamed = |rest: &str, tower: &str, table: &[(&str, &str)]| -> Option<Stored> {
        table.iter().find_map(|(ours, theirs)| {
            let kind = rest.strip_prefix(ours)?;
            Some(Stored::Same(format!("{tower}{theirs}{kind}")))
        })
    };
    let translated = if let Some(rest) = name.strip_prefix("vision_model.") {
        tower(rest, "visual.").or_else(|| {
            renamed(
                rest,
                "visual.",
                &[
                    ("embeddings.class_embedding", "class_embedding"),
                    ("embeddings.patch_embedding", "conv1"),
                    ("embeddings.position_embedding.weight", "positional_embedding"),
                    ("pre_layrnorm", "ln_pre"),
                    ("post_layernorm", "ln_post"),
                ],
            )
        })
    } else if let Some(rest) = name.strip_prefix("text_model.") {
        tower(rest, text_prefix).or_else(|| {
            renamed(
                rest,
                text_prefix,
                &[
                    ("embeddings.token_embedding", "token_embedding"),
                    ("embeddings.position_embedding.weight", "positional_embedding"),
                    ("final_layer_norm", "ln_final"),
                ],
            )
        })
    } else {
        match name {
            "visual_projection.weight" => Some(Stored::Transposed("visual.proj".to_owned())),
            "text_projection.weight" => Some(Stored::Transposed(format!("{text_prefix}text_projection"))),
            _ => None,
        }
    };
    translated.unwrap_or_else(|| Stored::Same(name.to_owned()))
}

/// Row-major `[rows, columns]` to row-major `[columns, rows]`.
fn transpose(values: &[f32], [n_row, n_column]: [usize; 2]) -> Vec<f32> {
    (0..n_column).flat_map(|column| (0..n_row).map(move |row| values[row * n_column + column])).collect()
}

/// What a parameter starts as where no file gives it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Initial {
    Zero,
    One,
    Value(f64),
    Normal(f64),
}

/// The one source of parameters while a model is built.
pub(crate) struct Supply<'a> {
    names: Option<Names<'a>>,
    device: Device,
}

impl<'a> Supply<'a> {
    pub(crate) fn from_source(names: Names<'a>, device: &Device) -> Self {
        Self { names: Some(names), device: device.clone() }
    }

    pub(crate) fn random(device: &Device) -> Self {
        Self { names: None, device: device.clone() }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn vector(
        &self,
        name: &str,
        len: usize,
        initial: Initial,
    ) -> Result<Param<Tensor<1>>, ClipError> {
        self.tensor(name, &[len], [len], initial)
    }

    pub(crate) fn matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        initial: Initial,
    ) -> Result<Param<Tensor<2>>, ClipError> {
        self.tensor(name, &shape, shape, initial)
    }

    /// A convolution kernel `[out, c, h, w]` as the matrix `[out, c · h · w]`.
    pub(crate) fn matrix_of_kernel(
        &self,
        name: &str,
        shape: [usize; 4],
        initial: Initial,
    ) -> Result<Param<Tensor<2>>, ClipError> {
        self.tensor(name, &shape, [shape[0], shape[1] * shape[2] * shape[3]], initial)
    }

    fn tensor<const D: usize>(
        &self,
        name: &str,
        stored: &[usize],
        shape: [usize; D],
        initial: Initial,
    ) -> Result<Param<Tensor<D>>, ClipError> {
        let tensor = match (&self.names, initial) {
            (Some(names), _) => {
                Tensor::from_data(TensorData::new(names.floats(name, stored)?, shape), &self.device)
            }
            (None, Initial::Zero) => Tensor::zeros(shape, &self.device),
            (None, Initial::One) => Tensor::ones(shape, &self.device),
            (None, Initial::Value(value)) => Tensor::full(shape, value, &self.device),
            (None, Initial::Normal(spread)) => {
                Tensor::random(shape, Distribution::Normal(0.0, spread), &self.device)
            }
        };
        Ok(Param::from_tensor(tensor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_translate_to_open_clip() {
        let check = |name: &str, expected: Stored| assert_eq!(open_clip_name(name, ""), expected, "{name}");
        let same = |name: &str| Stored::Same(name.to_owned());
        check("logit_scale", same("logit_scale"));
        check("vision_model.embeddings.class_embedding", same("visual.class_embedding"));
        check("vision_model.embeddings.patch_embedding.weight", same("visual.conv1.weight"));
        check("vision_model.embeddings.position_embedding.weight", same("visual.positional_embedding"));
        check("vision_model.pre_layrnorm.bias", same("visual.ln_pre.bias"));
        check("vision_model.post_layernorm.weight", same("visual.ln_post.weight"));
        check("visual_projection.weight", Stored::Transposed("visual.proj".to_owned()));
        check("text_model.embeddings.token_embedding.weight", same("token_embedding.weight"));
        check("text_model.embeddings.position_embedding.weight", same("positional_embedding"));
        check("text_model.final_layer_norm.weight", same("ln_final.weight"));
        check("text_projection.weight", Stored::Transposed("text_projection".to_owned()));
        check(
            "vision_model.encoder.layers.11.layer_norm2.weight",
            same("visual.transformer.resblocks.11.ln_2.weight"),
        );
        check("text_model.encoder.layers.0.mlp.fc2.bias", same("transformer.resblocks.0.mlp.c_proj.bias"));
        check(
            "text_model.encoder.layers.0.self_attn.out_proj.weight",
            same("transformer.resblocks.0.attn.out_proj.weight"),
        );
        for (part, letter) in ["q", "k", "v"].into_iter().enumerate() {
            let third = |kind| Stored::Third {
                name: format!("visual.transformer.resblocks.3.attn.in_proj_{kind}"),
                part,
            };
            let name = format!("vision_model.encoder.layers.3.self_attn.{letter}_proj");
            check(&format!("{name}.weight"), third("weight"));
            check(&format!("{name}.bias"), third("bias"));
        }
        let custom = open_clip_name("text_model.embeddings.token_embedding.weight", "text.");
        assert_eq!(custom, same("text.token_embedding.weight"));
    }

    #[test]
    fn transposing_swaps_rows_and_columns() {
        assert_eq!(transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
