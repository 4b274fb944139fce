//! Two-dimensional convolution and its gradients.

use super::reduce::slice_sum;
use super::{ChannelSum, Operation, expect_shape, floats, matmul, picture, window};
use crate::graph::Gradient;
use crate::kernel::{self, Conv as Geometry, Kernel, Matmul};
use crate::plan::{ConvAlgorithm, Grid, Lowering, StorageId, Target};
use crate::{Result, TensorType};

/// Convolution (cross-correlation, as everywhere in deep learning). Inputs x `[batch, in_channels, height,
/// width]`, weight `[out_channels, in_channels / groups, kernel_h, kernel_w]` and optionally bias
/// `[out_channels]`. Fields and defaults are PyTorch's; pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
    /// Step of the window.
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    /// Distance between the window's pixels.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other; `in_channels` of them is depthwise.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

/// Gradient of [`Conv2d`] with respect to its input, from the upstream gradient and the weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dGradInput {
    /// The convolution.
    pub conv: Conv2d,
    /// Shape of its input.
    pub input_shape: Vec<usize>,
}

/// Gradient of [`Conv2d`] with respect to its weight, from the input and the upstream gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dGradWeight {
    /// The convolution.
    pub conv: Conv2d,
    /// Shape of its weight.
    pub weight_shape: Vec<usize>,
}

impl Conv2d {
    fn geometry(&self, x: &TensorType, weight: &TensorType) -> Result<Geometry, String> {
        let [batch, channels, h, w] = picture("an input", x)?;
        let [outs, per_group, kh, kw] = weight.shape[..] else {
            return Err(format!(
                "expected a weight of shape [out_channels, in_channels / groups, kernel_h, kernel_w], found {:?}",
                weight.shape
            ));
        };
        let g = self.groups;
        if g == 0 || channels % g != 0 || outs % g != 0 {
            return Err(format!(
                "expected groups that divide {channels} input and {outs} output channels, found {g}"
            ));
        }
        if per_group != channels / g {
            return Err(format!(
                "expected an input of {} channels for a weight of {:?} in {g} groups, found an input of {:?}",
                per_group * g,
                weight.shape,
                x.shape
            ));
        }
        let out = |size, kernel, i: usize| {
            window::output_size(size, kernel, self.stride[i], self.padding[i], self.dilation[i], false)
        };
        let [out_h, out_w] = [out(h, kh, 0)?, out(w, kw, 1)?].map(|v| v as u32);
        let [stride_h, stride_w] = self.stride.map(|v| v as u32);
        let [padding_h, padding_w] = self.padding.map(|v| v as u32);
        let [dilation_h, dilation_w] = self.dilation.map(|v| v as u32);
        Ok(Geometry {
            batch: batch as u32,
            in_channels: channels as u32,
            in_h: h as u32,
            in_w: w as u32,
            out_channels: outs as u32,
            out_h,
            out_w,
            kernel_h: kh as u32,
            kernel_w: kw as u32,
            stride_h,
            stride_w,
            padding_h,
            padding_w,
            dilation_h,
            dilation_w,
            groups: g as u32,
            image_start: 0,
            images: batch as u32,
            row_start: 0,
            rows: out_h,
            accumulate: 0,
            has_bias: 0,
        })
    }

    /// The geometry of a node whose shapes were checked when it was made.
    fn checked(&self, x: &[usize], weight: &[usize]) -> Geometry {
        self.geometry(&TensorType::f32(x), &TensorType::f32(weight))
            .expect("shapes were checked when the node was made")
    }
}

fn output_shape(g: &Geometry) -> Vec<usize> {
    [g.batch, g.out_channels, g.out_h, g.out_w].map(|v| v as usize).to_vec()
}

/// Sizes of the matrix products of a convolution: each group of each picture is one.
struct Sizes {
    /// Output channels a group.
    outs: u32,
    /// Input channels a group, times the window's pixels.
    taps: u32,
    /// Lines of the columns of one picture: all groups' taps.
    lines: u32,
    /// Output pixels.
    pixels: u32,
}

impl Sizes {
    fn new(g: &Geometry) -> Self {
        let lines = g.in_channels * g.kernel_h * g.kernel_w;
        Self { outs: g.out_channels / g.groups, taps: lines / g.groups, lines, pixels: g.out_h * g.out_w }
    }
}

/// Whether the columns would be the picture itself.
fn is_pointwise(g: &Geometry) -> bool {
    [g.kernel_h, g.kernel_w, g.stride_h, g.stride_w] == [1; 4] && [g.padding_h, g.padding_w] == [0; 2]
}

/// Whether to compute straight from the definition. With few channels a group, matrix products are so thin
/// that they are all edge.
fn is_direct(g: &Geometry, target: &Target) -> bool {
    match target.conv {
        ConvAlgorithm::Auto => g.groups > 1 && g.in_channels / g.groups < 8,
        ConvAlgorithm::Im2col => false,
        ConvAlgorithm::Direct => true,
    }
}

/// Parts of the work whose columns fit in a scratch buffer: many pictures, or some rows of one.
fn chunks(g: &Geometry, target: &Target) -> Vec<Geometry> {
    if is_pointwise(g) {
        return vec![*g];
    }
    let row = Sizes::new(g).lines as u64 * g.out_w as u64 * 4;
    let rows = (target.scratch_limit() / row).max(1);
    let images = (rows / g.out_h as u64).min(g.batch as u64) as u32;
    let rows = rows.min(g.out_h as u64) as u32;
    let mut chunks = Vec::new();
    for image_start in (0..g.batch).step_by(images.max(1) as usize) {
        let images = images.max(1).min(g.batch - image_start);
        for row_start in (0..g.out_h).step_by(rows as usize) {
            chunks.push(Geometry {
                image_start,
                images,
                row_start,
                rows: rows.min(g.out_h - row_start),
                ..*g
            });
        }
    }
    chunks
}

/// Scratch for the columns of the largest chunk; the first one is.
fn columns(node: &mut Lowering, chunks: &[Geometry]) -> StorageId {
    let c = &chunks[0];
    let lines = Sizes::new(c).lines as usize;
    node.scratch("columns", lines * (c.images * c.rows * c.out_w) as usize)
}

fn im2col(
    node: &mut Lowering,
    kernel: &'static Kernel,
    c: &Geometry,
    from: StorageId,
    to: StorageId,
) -> Result<()> {
    let columns = Sizes::new(c).lines as u64 * (c.images * c.rows * c.out_w) as u64;
    let picture = (c.images * c.in_channels * c.in_h) as u64 * c.in_w as u64;
    let (groups, flops) = if *kernel == kernel::IM2COL {
        (c.images * Sizes::new(c).lines, 0)
    } else {
        (c.images * c.in_channels, columns)
    };
    node.launch(kernel, c, &[from], &[to], Grid::Workgroups(groups as u64), flops)?;
    node.set_bytes(4 * (columns + picture));
    Ok(())
}

/// What all three products of a chunk share: one batch for each picture and group.
fn product(c: &Geometry, m: u32, n: u32, k: u32) -> Matmul {
    Matmul {
        m,
        n,
        k,
        reduce: 1,
        reduce_total: u32::MAX,
        batches: c.images * c.groups,
        inner: c.groups,
        ..Default::default()
    }
}

/// y = weight * columns, picture by picture.
fn forward_im2col(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let s = Sizes::new(g);
    let chunks = chunks(g, node.target());
    let (x, weight, y) = (node.input(0), node.input(1), node.output(0));
    let bias = if g.has_bias == 1 { node.input(2) } else { weight };
    let columns = if is_pointwise(g) { x } else { columns(node, &chunks) };
    for c in &chunks {
        if !is_pointwise(g) {
            im2col(node, &kernel::IM2COL, c, x, columns)?;
        }
        let n = c.rows * c.out_w;
        let params = Matmul {
            a_row: s.taps,
            a_col: 1,
            a_inner: s.outs * s.taps,
            b_row: n,
            b_col: 1,
            b_outer: s.lines * n,
            b_inner: s.taps * n,
            c_offset: c.image_start * g.out_channels * s.pixels + c.row_start * g.out_w,
            c_row: s.pixels,
            c_outer: g.out_channels * s.pixels,
            c_inner: s.outs * s.pixels,
            bias: if g.has_bias == 1 { 2 } else { 0 },
            ..product(c, s.outs, n, s.taps)
        };
        matmul::launch(node, &params, [weight, columns, bias], y)?;
    }
    Ok(())
}

/// columns = weight^T * grad_output, then each pixel gathers from the columns.
fn grad_input_im2col(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let s = Sizes::new(g);
    let chunks = chunks(g, node.target());
    let (grad_output, weight, grad_input) = (node.input(0), node.input(1), node.output(0));
    let columns = if is_pointwise(g) { grad_input } else { columns(node, &chunks) };
    for c in &chunks {
        let n = c.rows * c.out_w;
        let params = Matmul {
            a_row: 1,
            a_col: s.taps,
            a_inner: s.outs * s.taps,
            b_offset: c.image_start * g.out_channels * s.pixels + c.row_start * g.out_w,
            b_row: s.pixels,
            b_col: 1,
            b_outer: g.out_channels * s.pixels,
            b_inner: s.outs * s.pixels,
            c_row: n,
            c_outer: s.lines * n,
            c_inner: s.taps * n,
            ..product(c, s.taps, n, s.outs)
        };
        matmul::launch(node, &params, [weight, grad_output, weight], columns)?;
        if !is_pointwise(g) {
            let part = Geometry { accumulate: (c.row_start > 0) as u32, ..*c };
            im2col(node, &kernel::COL2IM, &part, columns, grad_input)?;
        }
    }
    Ok(())
}

/// Most slices whose weight gradients are kept apart before they are added up.
const MAX_SLICES: u32 = 32;

/// Sum over pictures of grad_output * columns^T: slices of pictures in parallel, then the sum of the slices.
fn grad_weight_im2col(node: &mut Lowering, g: &Geometry) -> Result<()> {
    let s = Sizes::new(g);
    let chunks = chunks(g, node.target());
    let (x, grad_output, grad_weight) = (node.input(0), node.input(1), node.output(0));
    let columns = if is_pointwise(g) { x } else { columns(node, &chunks) };
    let len = g.out_channels * s.taps;
    let affordable = (node.target().scratch_limit() / (4 * len as u64)).clamp(1, MAX_SLICES as u64) as u32;
    let reduce = chunks[0].images.div_ceil(affordable);
    let most = chunks[0].images.div_ceil(reduce);
    let whole = chunks.len() == 1 && most == 1;
    let partial = if whole { grad_weight } else { node.scratch("slices", (most * len) as usize) };
    for (i, c) in chunks.iter().enumerate() {
        if !is_pointwise(g) {
            im2col(node, &kernel::IM2COL, c, x, columns)?;
        }
        let k = c.rows * c.out_w;
        let slices = c.images.div_ceil(reduce);
        let params = Matmul {
            reduce,
            reduce_total: c.images,
            batches: slices * g.groups,
            a_offset: c.image_start * g.out_channels * s.pixels + c.row_start * g.out_w,
            a_row: s.pixels,
            a_col: 1,
            a_reduce: g.out_channels * s.pixels,
            a_outer: reduce * g.out_channels * s.pixels,
            a_inner: s.outs * s.pixels,
            b_row: 1,
            b_col: k,
            b_reduce: s.lines * k,
            b_outer: reduce * s.lines * k,
            b_inner: s.taps * k,
            c_row: s.taps,
            c_outer: len,
            c_inner: s.outs * s.taps,
            ..product(c, s.outs, s.taps, k)
        };
        matmul::launch(node, &params, [grad_output, columns, grad_output], partial)?;
        if !whole {
            slice_sum(node, partial, grad_weight, [slices as usize, len as usize], 1.0, i > 0)?;
        }
    }
    Ok(())
}

/// Emits a direct kernel: one invocation for each element of the output.
fn direct(node: &mut Lowering, kernel: &'static Kernel, reads: &[StorageId], g: &Geometry) -> Result<()> {
    let s = Sizes::new(g);
    let flops = 2 * g.batch as u64 * g.out_channels as u64 * s.pixels as u64 * s.taps as u64;
    let writes = [node.output(0)];
    node.launch(kernel, g, reads, &writes, Grid::Invocations(node.output_len(0) as u64), flops)
}

impl Operation for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let (x, weight) = match inputs.len() {
            3 => {
                let [x, weight, bias] = floats(inputs)?;
                expect_shape("a bias", bias, &weight.shape[..1.min(weight.shape.len())])?;
                (x, weight)
            }
            _ => {
                let [x, weight] = floats(inputs)?;
                (x, weight)
            }
        };
        Ok(vec![TensorType::f32(output_shape(&self.geometry(x, weight)?))])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        let (x, weight, grad_output) = (node.input(0), node.input(1), node.grad_output()?);
        if node.needs(0) {
            let op = Conv2dGradInput { conv: *self, input_shape: node.input_shape(0) };
            let grad = node.apply(op, &[grad_output, weight])?[0];
            node.set(0, grad);
        }
        if node.needs(1) {
            let op = Conv2dGradWeight { conv: *self, weight_shape: node.input_shape(1) };
            let grad = node.apply(op, &[x, grad_output])?[0];
            node.set(1, grad);
        }
        if node.needs(2) {
            let grad = node.apply(ChannelSum, &[grad_output])?[0];
            node.set(2, grad);
        }
        Ok(())
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let has_bias = (node.inputs() == 3) as u32;
        let g = Geometry { has_bias, ..self.checked(node.input_shape(0), node.input_shape(1)) };
        let (x, weight) = (node.input(0), node.input(1));
        let bias = if has_bias == 1 { node.input(2) } else { weight };
        match is_direct(&g, node.target()) {
            true => direct(node, &kernel::CONV_DIRECT, &[x, weight, bias], &g),
            false => forward_im2col(node, &g),
        }
    }
}

impl Operation for Conv2dGradInput {
    fn name(&self) -> &'static str {
        "conv2d_grad_input"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [grad_output, weight] = floats(inputs)?;
        let input = TensorType::f32(self.input_shape.clone());
        expect_shape("a gradient", grad_output, &output_shape(&self.conv.geometry(&input, weight)?))?;
        Ok(vec![input])
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let g = self.conv.checked(&self.input_shape, node.input_shape(1));
        let (grad_output, weight) = (node.input(0), node.input(1));
        match is_direct(&g, node.target()) {
            true => direct(node, &kernel::CONV_DIRECT_GRAD_INPUT, &[grad_output, weight], &g),
            false => grad_input_im2col(node, &g),
        }
    }
}

impl Operation for Conv2dGradWeight {
    fn name(&self) -> &'static str {
        "conv2d_grad_weight"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x, grad_output] = floats(inputs)?;
        let weight = TensorType::f32(self.weight_shape.clone());
        expect_shape("a gradient", grad_output, &output_shape(&self.conv.geometry(x, &weight)?))?;
        Ok(vec![weight])
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let g = self.conv.checked(node.input_shape(0), &self.weight_shape);
        let (x, grad_output) = (node.input(0), node.input(1));
        match is_direct(&g, node.target()) {
            true => direct(node, &kernel::CONV_DIRECT_GRAD_WEIGHT, &[grad_output, x], &g),
            false => grad_weight_im2col(node, &g),
        }
    }
}
