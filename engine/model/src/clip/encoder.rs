//! A model for embedding alone, as fast as its device allows.
//!
//! On the processor the towers' matrices are laid out for products and the blocks run as one operation of
//! `eosin_kernels::dense`; the module's own matrices are freed one after another as that goes on. On other devices
//! the module itself does the work. Training never comes here. `tests/parity_clip.rs` holds both to the module and to
//! transformers.

use std::sync::{Mutex, PoisonError};

use burn::module::Param;
use burn::nn::LayerNorm;
use burn::tensor::{Device, Tensor, TensorData};
use eosin_kernels::dense::{self, Format, Layer, Norm, Panels, Rows, Seen, Workspace};

use super::config::{Activation, Config};
use super::layer::Block;
use super::{Clip, TextTower, TokenBatch, VisionTower};
use crate::linear::Linear;

/// Positions that go through the blocks together: enough to read each matrix once for many, few enough that what lies
/// between two products stays in the last cache.
const N_POSITION: usize = 1024;
/// Rows that a thread fills at once.
const N_TOGETHER: usize = 16;

/// A CLIP model that makes embeddings.
#[derive(Debug)]
pub struct Encoder {
    towers: Towers,
    logit_scale: Tensor<1>,
}

#[derive(Debug)]
enum Towers {
    Modules(Box<Clip>),
    Processor(Box<Processor>),
}

impl Encoder {
    /// Takes a model over. `format` is what the processor multiplies in; other devices compute in 32-bit floats.
    pub fn new(clip: Clip, config: &Config, format: Format) -> Self {
        let logit_scale = clip.logit_scale.val();
        let towers = if logit_scale.device() == Device::flex() {
            Towers::Processor(Box::new(Processor {
                vision: Vision::new(clip.vision, config, format),
                text: Text::new(clip.text, config, format),
                d_embed: config.d_embed,
                rooms: Mutex::default(),
            }))
        } else {
            Towers::Modules(Box::new(clip))
        };
        Self { towers, logit_scale }
    }

    /// `[1]`: logarithm of the factor on cosines.
    pub fn logit_scale(&self) -> Tensor<1> {
        self.logit_scale.clone()
    }

    /// See [`Clip::encode_image`].
    ///
    /// # Shapes
    /// - `images`: `[b, 3, image_px, image_px]`
    /// - returns: `[b, d_embed]`
    pub fn encode_image(&self, images: Tensor<4>) -> Tensor<2> {
        match &self.towers {
            Towers::Modules(clip) => clip.encode_image(images),
            Towers::Processor(processor) => {
                let [b, channels, height, width] = images.dims();
                let side = processor.vision.image_px;
                assert_eq!([channels, height, width], [3, side, side], "images of another size");
                let pixels = images.into_data().try_into_vec_as::<f32>();
                let pixels = pixels.unwrap_or_else(|error| unreachable!("images are floats: {error}"));
                let n_number = 3 * side * side;
                processor.run(b, processor.vision.n_position(), |part, room| {
                    processor.vision.encode(&pixels[part.start * n_number..part.end * n_number], room);
                })
            }
        }
    }

    /// See [`Clip::encode_text`].
    ///
    /// # Shapes
    /// - returns: `[b, d_embed]`
    pub fn encode_text(&self, texts: &TokenBatch) -> Tensor<2> {
        match &self.towers {
            Towers::Modules(clip) => clip.encode_text(texts),
            Towers::Processor(processor) => {
                assert!(texts.n_text() > 0, "no texts to embed");
                processor.run(texts.n_text(), texts.n_token(), |part, room| {
                    let ids = &texts.ids()[part.start * texts.n_token()..part.end * texts.n_token()];
                    processor.text.encode(ids, &texts.ends()[part], room);
                })
            }
        }
    }
}

/// Both towers as the processor runs them.
#[derive(Debug)]
struct Processor {
    vision: Vision,
    text: Text,
    d_embed: usize,
    /// Memory of callers that are done, for the next.
    rooms: Mutex<Vec<Room>>,
}

/// Memory that a tower works in.
#[derive(Debug, Default)]
struct Room {
    patches: Rows,
    embedded: Rows,
    stream: Rows,
    read: Rows,
    features: Rows,
    workspace: Workspace,
}

impl Processor {
    /// Runs `n` samples some at a time and gathers their features.
    fn run(
        &self,
        n: usize,
        n_position: usize,
        encode: impl Fn(std::ops::Range<usize>, &mut Room),
    ) -> Tensor<2> {
        let rooms = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = rooms().pop().unwrap_or_default();
        let n_part = n.div_ceil((N_POSITION / n_position.max(1)).max(1));
        let mut features = Vec::with_capacity(n * self.d_embed);
        for part in 0..n_part {
            encode(part * n / n_part..(part + 1) * n / n_part, &mut room);
            for row in 0..room.features.n_row() {
                features.extend_from_slice(room.features.row(row));
            }
        }
        rooms().push(room);
        Tensor::from_data(TensorData::new(features, [n, self.d_embed]), &Device::flex())
    }
}

/// The image tower.
#[derive(Debug)]
struct Vision {
    patch: Panels,
    class_token: Vec<f32>,
    position: Vec<f32>,
    pre_norm: Norm,
    layers: Vec<Layer>,
    post_norm: Norm,
    projection: Panels,
    image_px: usize,
    patch_px: usize,
}

impl Vision {
    fn new(tower: VisionTower, config: &Config, format: Format) -> Self {
        let epsilon = config.vision.epsilon;
        let VisionTower { patch, class_token, position, pre_norm, blocks, post_norm, projection, .. } = tower;
        Self {
            patch: panels(patch, format),
            class_token: numbers(&class_token),
            position: numbers(&position),
            pre_norm: norm(&pre_norm, epsilon),
            layers: layers(blocks, epsilon, format),
            post_norm: norm(&post_norm, epsilon),
            projection: panels(projection, format),
            image_px: config.vision.image_px,
            patch_px: config.vision.patch_px,
        }
    }

    fn n_position(&self) -> usize {
        (self.image_px / self.patch_px).pow(2) + 1
    }

    /// Embeds images; the features are then in the room.
    fn encode(&self, pixels: &[f32], room: &mut Room) {
        let (side, patch) = (self.image_px, self.patch_px);
        let (n_across, d) = (side / patch, self.class_token.len());
        let (n_patch, n_position) = (n_across * n_across, self.n_position());
        let n_image = pixels.len() / (3 * side * side);
        let Room { patches, embedded, stream, read, features, workspace } = room;
        // Patches do not overlap: the convolution is a product with flattened patches.
        patches.reshape(n_image * n_patch, 3 * patch * patch);
        patches.fill(N_TOGETHER, |row, to| {
            let (image, at) = (row / n_patch, row % n_patch);
            let (top, left) = (at / n_across * patch, at % n_across * patch);
            for (line, to) in to.chunks_exact_mut(patch).enumerate() {
                let (channel, y) = (line / patch, line % patch);
                let from = ((image * 3 + channel) * side + top + y) * side + left;
                to.copy_from_slice(&pixels[from..from + patch]);
            }
        });
        self.patch.linear(patches, embedded, workspace);
        // `patches` is free again: it takes the sums with the positions.
        patches.reshape(n_image * n_position, d);
        patches.fill(N_TOGETHER, |row, to| {
            let (image, at) = (row / n_position, row % n_position);
            let token = match at.checked_sub(1) {
                None => &self.class_token[..],
                Some(at) => embedded.row(image * n_patch + at),
            };
            add(to, token, &self.position[at * d..][..d]);
        });
        self.pre_norm.apply(patches, stream);
        dense::run(&self.layers, stream, &vec![0; n_image], Seen::All, read, workspace);
        self.post_norm.apply(read, embedded);
        self.projection.linear(embedded, features, workspace);
    }
}

/// The text tower.
#[derive(Debug)]
struct Text {
    token: Vec<f32>,
    position: Vec<f32>,
    layers: Vec<Layer>,
    final_norm: Norm,
    projection: Panels,
    d: usize,
}

impl Text {
    fn new(tower: TextTower, config: &Config, format: Format) -> Self {
        let epsilon = config.text.epsilon;
        let TextTower { token, position, blocks, final_norm, projection } = tower;
        Self {
            token: numbers(&token),
            position: numbers(&position),
            layers: layers(blocks, epsilon, format),
            final_norm: norm(&final_norm, epsilon),
            projection: panels(projection, format),
            d: config.text.d_model,
        }
    }

    /// Embeds texts of equal length, each read at its end; the features are then in the room.
    fn encode(&self, ids: &[i32], ends: &[usize], room: &mut Room) {
        let (d, n_token) = (self.d, ids.len() / ends.len());
        let Room { embedded, stream, read, features, workspace, .. } = room;
        stream.reshape(ids.len(), d);
        stream.fill(N_TOGETHER, |row, to| {
            // Checked when the batch was made.
            let token = &self.token[ids[row] as usize * d..][..d];
            add(to, token, &self.position[row % n_token * d..][..d]);
        });
        dense::run(&self.layers, stream, ends, Seen::Causal, read, workspace);
        self.final_norm.apply(read, embedded);
        self.projection.linear(embedded, features, workspace);
    }
}

fn add(to: &mut [f32], a: &[f32], b: &[f32]) {
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        *to = a + b;
    }
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let values = tensor.into_data().try_into_vec_as::<f32>();
    values.unwrap_or_else(|error| unreachable!("parameters are floats: {error}"))
}

fn numbers<const D: usize>(param: &Param<Tensor<D>>) -> Vec<f32> {
    floats(param.val())
}

fn norm(norm: &LayerNorm, epsilon: f64) -> Norm {
    let gain = numbers(&norm.gamma);
    let bias = norm.beta.as_ref().map_or_else(|| vec![0.0; gain.len()], numbers);
    Norm { gain, bias, epsilon: epsilon as f32 }
}

/// Maps of the same input, one below the other; the maps themselves are freed.
fn stacked<const N: usize>(maps: [Linear; N], format: Format) -> Panels {
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    let (mut n_out, mut n_in, mut biased) = (0, 0, false);
    for map in maps {
        let map = map.merged();
        let shape = map.weight.shape();
        (n_out, n_in) = (n_out + shape[0], shape[1]);
        match &map.bias {
            Some(bias) => {
                biased = true;
                biases.extend(numbers(bias));
            }
            None => biases.resize(n_out, 0.0),
        }
        let weight = floats(map.weight.dequantize());
        if weights.is_empty() { weights = weight } else { weights.extend(weight) }
    }
    Panels::new(&weights, [n_out, n_in], biased.then_some(&biases[..]), format)
}

fn panels(map: Linear, format: Format) -> Panels {
    stacked([map], format)
}

fn layers(blocks: Vec<Block>, epsilon: f64, format: Format) -> Vec<Layer> {
    let layer = |block: Block| {
        let Block { norm1, query, key, value, out, norm2, fc1, fc2, n_head, activation } = block;
        Layer {
            norm1: norm(&norm1, epsilon),
            query_key_value: stacked([query, key, value], format),
            out: panels(out, format),
            norm2: norm(&norm2, epsilon),
            fc1: panels(fc1, format),
            fc2: panels(fc2, format),
            n_head,
            activation: match activation {
                Activation::Gelu => dense::Activation::Gelu,
                Activation::QuickGelu => dense::Activation::QuickGelu,
            },
        }
    };
    blocks.into_iter().map(layer).collect()
}
