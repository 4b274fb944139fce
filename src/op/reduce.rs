//! Reductions.

use super::{Lowering, Operation, expect_channels, floats, planes, to_u32};
use crate::kernel::{self, ChannelSum as Params, Grid};
use crate::{Result, TensorType};

/// Sum over batch and pixels: `[batch, channels, ...]` to `[channels]`. The gradient of a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChannelSum;

/// Minimum number of elements per workgroup.
const ELEMENTS_PER_SLICE: usize = 4096;

/// Up to this many rows of `[batch, channels]`, one invocation per channel sums them serially.
const MAX_ROWS: usize = 256;

/// Images per slice, for at most 256 slices with enough elements each.
fn images_per_slice(batch: usize, pixels: usize) -> usize {
    ELEMENTS_PER_SLICE.div_ceil(pixels.max(64)).max(batch.div_ceil(256)).min(batch)
}

impl Operation for ChannelSum {
    const NAME: &'static str = "channel_sum";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        expect_channels(x)?;
        Ok(vec![TensorType::f32([x.shape[1]])])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let shape = node.input_shape(0);
        let sizes = planes(&shape);
        if let [batch @ ..=MAX_ROWS, channels, 1] = sizes {
            return node.sum_slices(node.input(0), node.output(0), [batch, channels], 1.0, false);
        }
        let images = images_per_slice(sizes[0], sizes[2]);
        let slices = sizes[0].div_ceil(images);
        let partial = node.scratch("partial sums", slices * sizes[1]);
        let [batch, channels, pixels] = sizes.map(to_u32);
        let params = Params { batch, channels, pixels, images_per_slice: to_u32(images) };
        let grid = Grid::Workgroups((slices * sizes[1]) as u64);
        let elements = sizes.map(|size| size as u64).iter().product();
        node.launch(&kernel::CHANNEL_SUM, &params, &[node.input(0)], &[partial], grid, elements)?;
        node.sum_slices(partial, node.output(0), [slices, sizes[1]], 1.0, false)
    }
}
