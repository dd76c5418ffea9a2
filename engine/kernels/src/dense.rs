//! Products with dense matrices on the processor, where no gradient is wanted.
//!
//! The tensor library's product rearranges a matrix at each call and writes its result before anything is done with
//! it. Here a matrix is laid out once, in the order in which a product reads it ([`Panels`]), and bias, GELU and the
//! residual stream are dealt with while sums are in the first cache. Towers of blocks ([`run`]) are made of such
//! products, of attention without a matrix of scores, and of norms, over memory that is kept ([`Workspace`]).
//! Instructions are chosen at run time. The tests hold every path against sums in 64 bits.

mod attention;
mod factors;
mod layer;
mod math;
mod product;
mod rows;
#[cfg(test)]
mod tests;
mod tile;

pub use attention::Seen;
pub use layer::{Activation, Layer, Norm, Workspace, run};
pub use product::{Format, Panels};
pub use rows::Rows;
