//! One pass over a parameter, its gradient and its moments.
//!
//! Written in the tensor library's operations, the update reads and writes each of them a dozen times.

use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;
use rayon::prelude::*;

use super::flex::{contiguous, numbers};
use super::lanes;

/// Numbers of one piece of work.
const N_PIECE: usize = 1 << 15;

/// The numbers of one update, the same for all elements of a parameter (Loshchilov & Hutter 2019, algorithm 2).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Descent {
    /// What the gradient is multiplied by first.
    pub scale: f32,
    /// Decay of the two moments.
    pub betas: [f32; 2],
    /// Learning rate over the first moment's bias correction.
    pub rate: f32,
    /// One over the second moment's bias correction.
    pub correction: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// What the weight is multiplied by: 1 − rate · decay.
    pub keep: f32,
}

/// A tensor whose numbers are its own and lie one after another, copied where they are not.
fn own(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.is_contiguous()
        && tensor.layout().start_offset() == 0
        && tensor.storage::<f32>().len() == tensor.layout().num_elements();
    if whole && tensor.is_unique() {
        return tensor;
    }
    let tensor = contiguous(tensor);
    let values = numbers(&tensor).to_vec();
    let n = values.len();
    FlexTensor::from_data(TensorData::new(values, [n]))
}

/// The weight and its moments after the update.
pub(super) fn step(
    weight: FlexTensor,
    gradient: FlexTensor,
    first: FlexTensor,
    second: FlexTensor,
    descent: &Descent,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let gradient = contiguous(gradient);
    let [mut weight, mut first, mut second] = [weight, first, second].map(own);
    {
        let gradient = numbers(&gradient);
        let values = [&mut weight, &mut first, &mut second].map(FlexTensor::storage_mut::<f32>);
        let [weight, first, second] = values;
        assert!(
            [weight.len(), first.len(), second.len()].iter().all(|n| *n == gradient.len()),
            "a gradient and two moments for every weight"
        );
        weight
            .par_chunks_mut(N_PIECE)
            .zip(first.par_chunks_mut(N_PIECE))
            .zip(second.par_chunks_mut(N_PIECE))
            .zip(gradient.par_chunks(N_PIECE))
            .for_each(|(((weight, first), second), gradient)| {
                lanes::adamw(weight, gradient, first, second, descent);
            });
    }
    (weight, first, second)
}
