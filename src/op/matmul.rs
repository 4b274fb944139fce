//! Matrix product.

use super::{ChannelSum, Gradient, Operation, Reshape, expect_shape, floats_and_option};
use crate::{Result, TensorType};

/// op(a) op(b) + bias, where op optionally transposes the last two axes. Inputs: a `[m, k]` and b `[k, n]`, or both with
/// the same leading batch axis; optionally bias `[n]`. Output `[m, n]` or `[batch, m, n]`.
///
/// A fully connected layer is `Matmul { transpose_b: true, .. }` with weight `[out, in]` as b.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Matmul {
    /// a is stored as `[k, m]`.
    pub transpose_a: bool,
    /// b is stored as `[n, k]`.
    pub transpose_b: bool,
}

impl Matmul {
    /// Batch, m, n and k.
    pub(crate) fn sizes(&self, a: &[usize], b: &[usize]) -> Result<[usize; 4], String> {
        let split = |s: &[usize], transpose: bool| match *s {
            [r, c] => Some((None, if transpose { (c, r) } else { (r, c) })),
            [n, r, c] => Some((Some(n), if transpose { (c, r) } else { (r, c) })),
            _ => None,
        };
        match (split(a, self.transpose_a), split(b, self.transpose_b)) {
            (Some((batch, (m, k))), Some((batch_b, (k_b, n)))) if batch == batch_b && k == k_b => {
                Ok([batch.unwrap_or(1), m, n, k])
            }
            _ => Err(format!(
                "expected {} and {} (or both with the same leading batch axis), found {a:?} and {b:?}",
                if self.transpose_a { "[k, m]" } else { "[m, k]" },
                if self.transpose_b { "[n, k]" } else { "[k, n]" },
            )),
        }
    }
}

impl Operation for Matmul {
    const NAME: &'static str = "matmul";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let ([a, b], bias) = floats_and_option(inputs)?;
        let [batch, m, n, _] = self.sizes(&a.shape, &b.shape)?;
        if let Some(bias) = bias {
            expect_shape("a bias", bias, &[n])?;
        }
        Ok(vec![TensorType::f32(if a.shape.len() == 3 { vec![batch, m, n] } else { vec![m, n] })])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let (a, b, g) = (node.input(0), node.input(1), node.grad_output()?);
        let Matmul { transpose_a: ta, transpose_b: tb } = *self;
        if node.needs(0) {
            let (op, operands) = match ta {
                false => (Matmul { transpose_a: false, transpose_b: !tb }, [g, b]),
                true => (Matmul { transpose_a: tb, transpose_b: true }, [b, g]),
            };
            node.set_to(0, op, &operands)?;
        }
        if node.needs(1) {
            let (op, operands) = match tb {
                false => (Matmul { transpose_a: !ta, transpose_b: false }, [a, g]),
                true => (Matmul { transpose_a: true, transpose_b: ta }, [g, a]),
            };
            node.set_to(1, op, &operands)?;
        }
        if node.needs(2) {
            let shape = node.ty(g).shape.clone();
            let n = shape[shape.len() - 1];
            let rows = node.apply(Reshape { shape: vec![shape.iter().product::<usize>() / n, n] }, &[g])?[0];
            node.set_to(2, ChannelSum, &[rows])?;
        }
        Ok(())
    }
}
