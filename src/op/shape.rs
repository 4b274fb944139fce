//! Operations that move elements without changing them.

use super::{
    Footprint, Gradient, Lowering, Operation, exactly, expect_channels, floats, narrow, planes, to_u32,
};
use crate::kernel::{self, ChannelCopy, Grid};
use crate::{Result, TensorType};

/// The same elements with another shape, without a copy. Flattening is `[batch, everything else]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reshape {
    /// The new shape.
    pub shape: Vec<usize>,
}

/// Concatenates tensors along the channels (axis 1). All other sizes must be equal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Concat;

/// Channels `start .. start + channels` of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelSlice {
    /// First channel.
    pub start: usize,
    /// Number of channels.
    pub channels: usize,
}

/// Pads a tensor with channels of zeros.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelPad {
    /// Channels of zeros before.
    pub before: usize,
    /// Channels of zeros after.
    pub after: usize,
}

impl Operation for Reshape {
    const NAME: &'static str = "reshape";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = exactly(inputs)?;
        let y = TensorType { shape: self.shape.clone(), dtype: x.dtype };
        if x.len() != y.len() {
            return Err(format!("expected {} elements for {:?}, found {:?}", y.len(), y.shape, x.shape));
        }
        Ok(vec![y])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        node.set_to(0, Reshape { shape: node.input_shape(0) }, &[node.grad_output()?])
    }

    fn lower(&self, _: &mut impl Lowering) -> Result<()> {
        Ok(())
    }

    fn footprint(&self, _: &[&[usize]]) -> Footprint {
        Footprint::Image
    }

    fn is_view(&self) -> bool {
        true
    }
}

impl Operation for Concat {
    const NAME: &'static str = "concat";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let Some(first) = inputs.first() else {
            return Err("expected at least one input, found none".into());
        };
        let mut shape = first.shape.clone();
        if shape.len() < 2 {
            return Err(format!("expected inputs of shape [batch, channels, ...], found {shape:?}"));
        }
        shape[1] = 0;
        for input in inputs {
            let [x] = floats(&[input])?;
            let fits = x.shape.len() == shape.len() && x.shape[0] == shape[0] && x.shape[2..] == shape[2..];
            if !fits {
                return Err(format!(
                    "expected inputs that differ in channels only, found {:?} and {:?}",
                    first.shape, x.shape
                ));
            }
            shape[1] += x.shape[1];
        }
        Ok(vec![TensorType::f32(shape)])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let grad_output = node.grad_output()?;
        let mut start = 0;
        for i in 0..node.inputs() {
            let channels = node.input_shape(i)[1];
            if node.needs(i) {
                node.set_to(i, ChannelSlice { start, channels }, &[grad_output])?;
            }
            start += channels;
        }
        Ok(())
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let [outer, channels, pixels] = planes(&node.output_shape(0));
        let mut start = 0;
        for i in 0..node.inputs() {
            let width = node.input_shape(i)[1] * pixels;
            let params = ChannelCopy {
                len: to_u32(outer * width),
                width: to_u32(width),
                src_stride: to_u32(width),
                src_offset: 0,
                dst_stride: to_u32(channels * pixels),
                dst_offset: to_u32(start),
            };
            copy_channels(node, &params, i)?;
            start += width;
        }
        Ok(())
    }
}

impl Operation for ChannelSlice {
    const NAME: &'static str = "channel_slice";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        let mut shape = x.shape.clone();
        let end =
            u64::from(narrow("a first channel", self.start)?) + u64::from(narrow("channels", self.channels)?);
        if shape.len() < 2 || end > shape[1] as u64 {
            return Err(format!("expected at least {end} channels, found {shape:?}"));
        }
        shape[1] = self.channels;
        Ok(vec![TensorType::f32(shape)])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let after = node.input_shape(0)[1] - self.start - self.channels;
        node.set_to(0, ChannelPad { before: self.start, after }, &[node.grad_output()?])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let [outer, channels, pixels] = planes(&node.input_shape(0));
        let width = self.channels * pixels;
        let params = ChannelCopy {
            len: to_u32(outer * width),
            width: to_u32(width),
            src_stride: to_u32(channels * pixels),
            src_offset: to_u32(self.start * pixels),
            dst_stride: to_u32(width),
            dst_offset: 0,
        };
        copy_channels(node, &params, 0)
    }
}

impl Operation for ChannelPad {
    const NAME: &'static str = "channel_pad";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        expect_channels(x)?;
        let mut shape = x.shape.clone();
        for channels in [self.before, self.after] {
            narrow("channels of zeros", channels)?;
            shape[1] = narrow("channels", shape[1] + channels)? as usize;
        }
        Ok(vec![TensorType::f32(shape)])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let channels = node.input_shape(0)[1];
        node.set_to(0, ChannelSlice { start: self.before, channels }, &[node.grad_output()?])
    }

    fn lower(&self, node: &mut impl Lowering) -> Result<()> {
        let [_, channels, pixels] = planes(&node.input_shape(0));
        let len = node.output_len(0);
        let width = channels * pixels;
        let params = ChannelCopy {
            len: to_u32(len),
            width: to_u32(width),
            src_stride: to_u32(width),
            src_offset: 0,
            dst_stride: to_u32(width + (self.before + self.after) * pixels),
            dst_offset: to_u32(self.before * pixels),
        };
        let (reads, writes) = node.operands(&kernel::CHANNEL_PAD);
        node.launch(&kernel::CHANNEL_PAD, &params, &reads, &writes, Grid::Invocations(len as u64), 0)
    }
}

fn copy_channels(node: &mut impl Lowering, params: &ChannelCopy, input: usize) -> Result<()> {
    let (reads, writes) = ([node.input(input)], [node.output(0)]);
    node.launch(&kernel::CHANNEL_COPY, params, &reads, &writes, Grid::Invocations(params.len as u64), 0)?;
    node.set_bytes(8 * params.len as u64);
    Ok(())
}
