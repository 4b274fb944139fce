//! Detection of values that are not finite.

use super::{Lowering, Operation, arrays, expect_arrays};
use crate::{Result, TensorType, kernel};

/// Whether any element of any input is NaN or infinite. Output: infinity `[1]` if so, else 0.
///
/// Updates with such a value as their guard ([`Sgd`](super::Sgd), [`Adam`](super::Adam), [`WeightedSum`](super::WeightedSum))
/// leave their state as it is unless it is finite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NonFinite;

/// Most elements of an array for which one workgroup is enough.
const MAX_SMALL: usize = 4 * arrays::ELEMENTS;

impl Operation for NonFinite {
    const NAME: &'static str = "non_finite";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        expect_arrays(inputs)?;
        Ok(vec![TensorType::f32([1])])
    }

    /// Large arrays are checked by many workgroups; the last launch combines their results and checks the smallest arrays.
    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let mut large = arrays::inputs(node);
        let small = large.iter().rev().take_while(|(_, len)| *len <= MAX_SMALL).count();
        let all = small == large.len() && small <= arrays::PER_LAUNCH;
        let last = if all { small } else { small.min(arrays::PER_LAUNCH - 1) };
        let mut last = large.split_off(large.len() - last);
        if !large.is_empty() {
            last.push(arrays::reduce(node, &kernel::NON_FINITE, &large, 0)?);
        }
        arrays::launch(node, &kernel::NON_FINITE, &last, (node.output(0), 1), false, 0)
    }
}
