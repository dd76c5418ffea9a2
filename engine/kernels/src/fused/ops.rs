//! The fused operations as an extension of the processor's backend, by the number of their tensors, and how
//! gradients pass through all of them alike: inputs are kept, `…_backward` computes what is asked for.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, backend_extension};

use super::{Angles, Descent, Sight};

/// Operations on one tensor.
#[derive(Clone, Debug)]
pub(crate) enum One {
    QuickGelu,
    Rotate(Angles),
    CrossEntropy(Arc<[usize]>),
    TokenScores(Arc<[usize]>),
    /// Without a way back; the sum in two parts.
    SquareSum,
}

/// Operations on two.
#[derive(Clone, Debug)]
pub(crate) enum Two {
    Linear,
    RmsNorm { eps: f32 },
    Gated,
}

/// Operations on three.
#[derive(Clone, Debug)]
pub(crate) enum Three {
    Linear,
    LayerNorm { eps: f32 },
    Attention(Sight),
}

/// The operations; gradients that are not wanted come back empty.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait FusedBackend: Backend {
    fn fused_one(a: FloatTensor<Self>, op: One) -> FloatTensor<Self>;
    fn fused_two(a: FloatTensor<Self>, b: FloatTensor<Self>, op: Two) -> FloatTensor<Self>;
    fn fused_three(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        op: Three,
    ) -> FloatTensor<Self>;
    /// Without a way back.
    fn fused_adamw(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        descent: Descent,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    fn fused_one_backward(a: FloatTensor<Self>, grad: FloatTensor<Self>, op: One) -> FloatTensor<Self>;
    fn fused_two_backward(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        op: Two,
        wanted: [bool; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    fn fused_three_backward(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        op: Three,
        wanted: [bool; 3],
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

const FIRST_ORDER: &str = "gradients of gradients are not computed";

impl<B: FusedBackend, C: CheckpointStrategy> FusedBackend for Autodiff<B, C> {
    fn fused_one(a: FloatTensor<Self>, op: One) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Node;

        impl<B: FusedBackend> Backward<B, 1> for Node {
            type State = (FloatTensor<B>, One);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (a, op) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                if let [Some(node)] = ops.parents {
                    grads.register::<B>(node.id, B::fused_one_backward(a, grad, op));
                }
            }
        }

        let (a, node) = a.into_parts();
        match Node.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let output = B::fused_one(a.clone(), op.clone());
                prep.finish((a, op), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::fused_one(a, op)),
        }
    }

    fn fused_two(a: FloatTensor<Self>, b: FloatTensor<Self>, op: Two) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Node;

        impl<B: FusedBackend> Backward<B, 2> for Node {
            type State = (FloatTensor<B>, FloatTensor<B>, Two);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (a, b, op) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let wanted = ops.parents.each_ref().map(Option::is_some);
                let (da, db) = B::fused_two_backward(a, b, grad, op, wanted);
                for (node, grad) in ops.parents.into_iter().zip([da, db]) {
                    if let Some(node) = node {
                        grads.register::<B>(node.id, grad);
                    }
                }
            }
        }

        let ((a, node_a), (b, node_b)) = (a.into_parts(), b.into_parts());
        match Node.prepare::<C>([node_a, node_b]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let output = B::fused_two(a.clone(), b.clone(), op.clone());
                prep.finish((a, b, op), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::fused_two(a, b, op)),
        }
    }

    fn fused_three(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        op: Three,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Node;

        impl<B: FusedBackend> Backward<B, 3> for Node {
            type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Three);

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (a, b, c, op) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let wanted = ops.parents.each_ref().map(Option::is_some);
                let (da, db, dc) = B::fused_three_backward(a, b, c, grad, op, wanted);
                for (node, grad) in ops.parents.into_iter().zip([da, db, dc]) {
                    if let Some(node) = node {
                        grads.register::<B>(node.id, grad);
                    }
                }
            }
        }

        let ((a, node_a), (b, node_b), (c, node_c)) = (a.into_parts(), b.into_parts(), c.into_parts());
        match Node.prepare::<C>([node_a, node_b, node_c]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let output = B::fused_three(a.clone(), b.clone(), c.clone(), op.clone());
                prep.finish((a, b, c, op), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::fused_three(a, b, c, op)),
        }
    }

    fn fused_adamw(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Descent,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("weights are changed without gradients")
    }

    fn fused_one_backward(_: FloatTensor<Self>, _: FloatTensor<Self>, _: One) -> FloatTensor<Self> {
        unreachable!("{FIRST_ORDER}")
    }

    fn fused_two_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Two,
        _: [bool; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("{FIRST_ORDER}")
    }

    fn fused_three_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Three,
        _: [bool; 3],
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("{FIRST_ORDER}")
    }
}
