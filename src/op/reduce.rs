//! Reductions.

use super::{Gradient, Lowering, Operation, expect_channels, floats, planes, to_u32};
use crate::kernel::{self, ChannelSum as Params, Grid, StorageId};
use crate::{Result, TensorType};

/// Sum over batch and pixels: `[batch, channels, ...]` to `[channels]`. The gradient of a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChannelSum;

/// Sum of squares of all elements, of shape `[1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SumSquares;

/// Minimum number of elements per workgroup.
const ELEMENTS_PER_SLICE: usize = 4096;

/// Up to this many rows of `[batch, channels]`, one invocation per channel sums them serially.
const MAX_ROWS: usize = 256;

/// Images per slice, for at most 256 slices with enough elements each.
fn images_per_slice(batch: usize, pixels: usize) -> usize {
    ELEMENTS_PER_SLICE.div_ceil(pixels.max(64)).max(batch.div_ceil(256)).min(batch)
}

/// Emits a channel sum of x in two passes: partial sums over slices of images, then their sum. `accumulate` adds it to the output.
fn channel_sum(node: &mut impl Lowering, x: StorageId, p: &Params, accumulate: bool) -> Result<()> {
    let slices = p.batch.div_ceil(p.images_per_slice) as usize;
    let sums = slices * p.channels as usize;
    let partial = node.scratch("partial sums", sums);
    let grid = Grid::Workgroups(sums as u64);
    node.launch(&kernel::CHANNEL_SUM, p, &[x], &[partial], grid, p.len.into())?;
    node.sum_slices(partial, node.output(0), [slices, p.channels as usize], 1.0, accumulate)
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
        let [batch, channels, pixels] = sizes.map(to_u32);
        let images_per_slice = to_u32(images_per_slice(sizes[0], sizes[2]));
        let len = to_u32(shape.iter().product());
        let params = Params { len, batch, channels, pixels, images_per_slice, square: 0 };
        channel_sum(node, node.input(0), &params, false)
    }
}

impl Operation for SumSquares {
    const NAME: &'static str = "sum_squares";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [_] = floats(inputs)?;
        Ok(vec![TensorType::f32([1])])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        Err(node.error("this operation has no gradient; it is only for gradient clipping"))
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let len: usize = node.input_shape(0).iter().product();
        let most = node.max_binding_elements();
        for start in (0..len).step_by(most) {
            let (x, _) = node.bind_range(node.input(0), start..len.min(start + most));
            let len = most.min(len - start);
            // Treat the flat array as images with one channel. The last image may be short.
            let params = Params {
                len: to_u32(len),
                batch: to_u32(len.div_ceil(ELEMENTS_PER_SLICE)),
                channels: 1,
                pixels: to_u32(ELEMENTS_PER_SLICE),
                images_per_slice: 1,
                square: 1,
            };
            channel_sum(node, x, &params, start > 0)?;
        }
        Ok(())
    }
}
