//! Sums.

use super::{Operation, floats, planes, word};
use crate::graph::Gradient;
use crate::kernel::{self, ChannelSum as Params, SliceSum};
use crate::plan::{Family, Grid, Lowering, StorageId};
use crate::{Result, TensorType};

/// Sum over batch and pixels: `[batch, channels, ...]` to `[channels]`. The gradient of a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChannelSum;

/// Sum of the squares of all elements, of shape `[1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SumSquares;

/// Elements that one workgroup of a channel sum adds up, at least.
const ELEMENTS_PER_SLICE: usize = 4096;

/// Rows of single numbers that one invocation a channel adds up by itself.
const MAX_ROWS: usize = 256;

/// Slices that one invocation should not walk through by itself on a GPU: each step waits for memory.
const MANY_SLICES: usize = 16;

/// Images a slice, so that a slice has work enough and there are not too many of them.
fn images_per_slice(batch: usize, pixels: usize) -> usize {
    ELEMENTS_PER_SLICE.div_ceil(pixels.max(64)).max(batch.div_ceil(256)).min(batch)
}

/// Emits out[i] = scale * sum over slices of x[slice, i], added to out[i] if `accumulate`.
pub(super) fn slice_sum(
    node: &mut Lowering,
    x: StorageId,
    out: StorageId,
    [slices, len]: [usize; 2],
    scale: f32,
    accumulate: bool,
) -> Result<()> {
    let params = SliceSum { len: word(len), slices: word(slices), scale, accumulate: accumulate as u32 };
    let quads = (len / 4) as u64;
    let (kernel, invocations) = match len.is_multiple_of(4) {
        true if node.target().family == Family::Gpu && slices >= MANY_SLICES => {
            (&kernel::SLICE_SUM_TREE, 16 * quads)
        }
        true => (&kernel::SLICE_SUM_QUADS, quads),
        false => (&kernel::SLICE_SUM, len as u64),
    };
    node.launch(kernel, &params, &[x], &[out], Grid::Invocations(invocations), (slices * len) as u64)
}

/// Emits a channel sum of x in two passes: slices of images, then the sum of the slices, added to the result if `accumulate`.
fn channel_sum(node: &mut Lowering, x: StorageId, p: &Params, accumulate: bool) -> Result<()> {
    let slices = p.batch.div_ceil(p.images_per_slice) as usize;
    let sums = slices * p.channels as usize;
    let partial = node.scratch("partial sums", sums);
    let grid = Grid::Workgroups(sums as u64);
    node.launch(&kernel::CHANNEL_SUM, p, &[x], &[partial], grid, p.len.into())?;
    slice_sum(node, partial, node.output(0), [slices, p.channels as usize], 1.0, accumulate)
}

impl Operation for ChannelSum {
    fn name(&self) -> &'static str {
        "channel_sum"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        if x.shape.len() < 2 {
            return Err(format!("expected an input of shape [batch, channels, ...], found {:?}", x.shape));
        }
        Ok(vec![TensorType::f32([x.shape[1]])])
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let shape = node.input_shape(0);
        let sizes = planes(shape);
        if let [batch @ ..=MAX_ROWS, channels, 1] = sizes {
            return slice_sum(node, node.input(0), node.output(0), [batch, channels], 1.0, false);
        }
        let [batch, channels, pixels] = sizes.map(word);
        let images_per_slice = word(images_per_slice(sizes[0], sizes[2]));
        let len = word(shape.iter().product());
        let params = Params { len, batch, channels, pixels, images_per_slice, square: 0 };
        channel_sum(node, node.input(0), &params, false)
    }
}

impl Operation for SumSquares {
    fn name(&self) -> &'static str {
        "sum_squares"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [_] = floats(inputs)?;
        Ok(vec![TensorType::f32([1])])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        Err(node.error("this operation has no gradient; it is for clipping"))
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let len: usize = node.input_shape(0).iter().product();
        let most = node.most_elements();
        for start in (0..len).step_by(most) {
            let (x, _) = node.part(node.input(0), start..len.min(start + most));
            let len = most.min(len - start);
            // A flat array as images of one channel; the last one may be short.
            let params = Params {
                len: word(len),
                batch: word(len.div_ceil(ELEMENTS_PER_SLICE)),
                channels: 1,
                pixels: word(ELEMENTS_PER_SLICE),
                images_per_slice: 1,
                square: 1,
            };
            channel_sum(node, x, &params, start > 0)?;
        }
        Ok(())
    }
}
