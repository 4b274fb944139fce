//! Detection of values that are not finite.

use super::{Lowering, Operation, expect_f32, to_u32};
use crate::kernel::{self, Grid, NonFinite as Params, StorageId};
use crate::{Result, TensorType};

/// Whether any element of any input is NaN or infinite. Output: infinity `[1]` if so, else 0.
///
/// Updates with such a value as their guard ([`Sgd`](super::Sgd), [`Adam`](super::Adam), [`WeightedSum`](super::WeightedSum))
/// leave their state as it is unless it is finite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NonFinite;

/// Arrays per launch: with the result they are 8 storage buffers, which every device can bind.
const ARRAYS: usize = 7;

/// Elements that one workgroup reads at a time.
const ELEMENTS: usize = 4 * kernel::NON_FINITE.threads as usize;

/// Most elements of an array for which one workgroup is enough.
const MAX_SMALL: usize = 4 * ELEMENTS;

/// Most workgroups of a launch. Each writes one partial result, which one workgroup then combines.
const MAX_WORKGROUPS: usize = 256;

/// A range of an input, and its number of elements.
type Array = (StorageId, usize);

/// Emits a launch that writes `groups` results to `out`, or adds to those there if `keep`.
fn check(
    node: &mut impl Lowering,
    arrays: &[Array],
    out: StorageId,
    groups: usize,
    keep: bool,
) -> Result<()> {
    // Arrays of length 0 may be bound to anything.
    let mut all = [(arrays[0].0, 0); ARRAYS];
    all[..arrays.len()].copy_from_slice(arrays);
    let [len0, len1, len2, len3, len4, len5, len6] = all.map(|(_, len)| to_u32(len));
    let params =
        Params { groups: to_u32(groups), keep: keep as u32, len0, len1, len2, len3, len4, len5, len6 };
    let grid = Grid::Workgroups(groups as u64);
    node.launch(&kernel::NON_FINITE, &params, &all.map(|(storage, _)| storage), &[out], grid, 0)
}

impl Operation for NonFinite {
    const NAME: &'static str = "non_finite";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        expect_f32(inputs)?;
        match inputs {
            [] => Err("expected at least one input, found none".to_owned()),
            _ => Ok(vec![TensorType::f32([1])]),
        }
    }

    /// Large arrays are checked by many workgroups; the last launch combines their results and checks the smallest arrays.
    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let most = node.max_binding_elements();
        let mut arrays: Vec<Array> = Vec::new();
        for i in 0..node.inputs() {
            let (input, len) = (node.input(i), node.input_shape(i).iter().product::<usize>());
            for start in (0..len).step_by(most) {
                let range = start..len.min(start + most);
                arrays.push((node.bind_range(input, range.clone()).0, range.len()));
            }
        }
        arrays.sort_by_key(|(_, len)| std::cmp::Reverse(*len));
        let small = arrays.iter().rev().take_while(|(_, len)| *len <= MAX_SMALL).count();
        let last = if small == arrays.len() && small <= ARRAYS { small } else { small.min(ARRAYS - 1) };
        let mut last = arrays.split_off(arrays.len() - last);
        if let Some((_, longest)) = arrays.first() {
            let groups = |len: usize| len.div_ceil(ELEMENTS).min(MAX_WORKGROUPS);
            let results = groups(*longest);
            let partial = node.scratch("partial results", results);
            for (i, arrays) in arrays.chunks(ARRAYS).enumerate() {
                check(node, arrays, partial, groups(arrays[0].1), i > 0)?;
            }
            last.push((partial, results));
        }
        check(node, &last, node.output(0), 1, false)
    }
}
