//! Sums over ranks.

use super::{Lowering, Operation, floats};
use crate::{Result, TensorType};

/// The sum of a tensor over all [`Ranks`](crate::distributed::Ranks), which the host exchanges while the device continues. Input:
/// x. Output: the sum, of the same shape.
///
/// Sums that follow each other in the graph are exchanged together, a few at a time ([`Exchange`](crate::plan::Exchange)).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AllReduce;

impl Operation for AllReduce {
    const NAME: &'static str = "all_reduce";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        Ok(vec![x.clone()])
    }

    /// Nothing to compute: the sum replaces the tensor in the middle of the step.
    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        node.begin_in_place(0, 0).map(|_| ())
    }
}
