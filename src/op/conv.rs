//! Two-dimensional convolution and its gradients.

mod correlation;
mod gemm;
mod im2col;
mod window;
mod winograd;

use super::epilogue::{Epilogue, expect_residual};
use super::window::output_size;
use super::{ChannelSum, Footprint, Operation, expect_shape, floats, image, narrow};
use crate::graph::Gradient;
use crate::kernel::{self, Conv as Geometry, ConvGemm, Kernel};
use crate::plan::choice::{self, CONVOLUTIONS, FEW_CHANNELS, Shape};
use crate::plan::{ConvAlgorithm, Grid, Lowering, Pass, ShapeClass, StorageId, Target};
use crate::{Result, TensorType};

/// Convolution (cross-correlation, as everywhere in deep learning). Inputs x `[batch, in_channels, height,
/// width]`, weight `[out_channels, in_channels / groups, kernel_h, kernel_w]` and optionally bias
/// `[out_channels]`. Fields and defaults are PyTorch's; pairs are (vertical, horizontal).
///
/// Sums are those of the definition, in another order, except by [`ConvAlgorithm::Winograd`]. Its errors, relative to the largest
/// result and for operands of one magnitude, stay below 1e-6 with tiles of 2 x 2 and 1e-5 with those of 4 x 4, the
/// default; for weight gradients, whose sums are over all tiles, below four times that. A NaN or infinity comes out of it at every
/// pixel of the tiles that look at it, as NaN, and not only where the definition has one. `Target::winograd` forbids it.
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
    /// What comes after, in the same pass.
    pub epilogue: Epilogue,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1, epilogue: Epilogue::None }
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
        let [batch, channels, h, w] = image("an input", x)?;
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
            output_size(size, kernel, self.stride[i], self.padding[i], self.dilation[i], false)
        };
        let [out_h, out_w] = [out(h, kh, 0)?, out(w, kw, 1)?];
        let pair = |what, [v, h]: [usize; 2]| Ok::<_, String>([narrow(what, v)?, narrow(what, h)?]);
        let [padding_h, padding_w] = pair("a padding", self.padding)?;
        let [dilation_h, dilation_w] = pair("a dilation", self.dilation)?;
        let [in_h, in_w] = pair("an image's side", [h, w])?;
        // A step beyond the image is as good as one to its end: there are kernels that go through all phases of it.
        let [stride_h, stride_w] = pair("a stride", self.stride)?;
        let (stride_h, stride_w) = (stride_h.min(in_h + 2 * padding_h), stride_w.min(in_w + 2 * padding_w));
        let [kernel_h, kernel_w] = pair("a kernel size", [kh, kw])?;
        let batch = narrow("a batch", batch)?;
        Ok(Geometry {
            batch,
            in_channels: narrow("channels", channels)?,
            in_h,
            in_w,
            out_channels: narrow("channels", outs)?,
            out_h,
            out_w,
            kernel_h,
            kernel_w,
            stride_h,
            stride_w,
            padding_h,
            padding_w,
            dilation_h,
            dilation_w,
            groups: narrow("groups", g)?,
            image_start: 0,
            images: batch,
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

/// Most slices of images whose weight gradients are kept apart before they are added up.
const MAX_SLICES: u32 = 32;

/// Slices of a weight gradient that may be kept apart before they are added up, when each has `len` elements: `most` if there is
/// room.
fn affordable_slices(target: &Target, len: u32, most: u32) -> u32 {
    let slices = target.scratch_limit() / (4 * len as u64);
    u32::try_from(slices).unwrap_or(most).clamp(1, most)
}

/// Sizes of the matrix products of a convolution: each group of each image is one.
struct Sizes {
    /// Output channels a group.
    outs: u32,
    /// Input channels a group, times the window's pixels.
    taps: u32,
    /// Lines of the columns of one image: all groups' taps.
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

/// Whether the columns would be the image itself.
fn is_pointwise(g: &Geometry) -> bool {
    [g.kernel_h, g.kernel_w, g.stride_h, g.stride_w] == [1; 4] && [g.padding_h, g.padding_w] == [0; 2]
}

/// Ways to compute a convolution.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Im2col,
    Direct,
    Window,
    Gemm,
    Winograd,
}

/// The way that suits a pass of a convolution on a target. `stride`: that along rows which the kernels by windows would
/// walk in; `correlation`: whether it is one, as a gradient with respect to the input may not be.
fn method(g: &Geometry, target: &Target, pass: Pass, stride: u32, correlation: bool) -> Method {
    let window = correlation
        && target.subgroup > 0
        && g.dilation_w == 1
        && stride <= 2
        && window::packed_bytes(g) <= target.scratch_limit();
    let winograd = winograd::fits(g, target);
    match target.forced(pass) {
        Some(kernel) if window::KERNELS.contains(&kernel) && window => return Method::Window,
        Some(kernel) if gemm::KERNELS.contains(&kernel) && correlation => return Method::Gemm,
        Some(kernel) if winograd::kernels(pass).contains(&kernel) && winograd => return Method::Winograd,
        Some(kernel) if DIRECT.contains(&kernel) => return Method::Direct,
        Some(kernel) if *kernel == kernel::IM2COL => return Method::Im2col,
        _ => {}
    }
    let can = |way| match way {
        ConvAlgorithm::Window => window,
        ConvAlgorithm::Gemm => correlation,
        ConvAlgorithm::Winograd => winograd,
        _ => true,
    };
    let way = match target.way(pass) {
        ConvAlgorithm::Auto => {
            choice::first(&CONVOLUTIONS, target, pass, |shape, way| is_of(g, target, shape) && can(way))
        }
        asked => can(asked).then_some(asked),
    };
    match way {
        Some(ConvAlgorithm::Direct) => Method::Direct,
        Some(ConvAlgorithm::Window) => Method::Window,
        Some(ConvAlgorithm::Gemm) => Method::Gemm,
        Some(ConvAlgorithm::Winograd) => Method::Winograd,
        _ => Method::Im2col,
    }
}

/// Whether a convolution is of the shape that a row of the table asks for.
fn is_of(g: &Geometry, target: &Target, shape: Shape) -> bool {
    match shape {
        Shape::Any => true,
        Shape::FewChannels => g.groups > 1 && g.in_channels / g.groups < FEW_CHANNELS,
        Shape::Halving => window::has_joint_phases(target, g),
        Shape::Large { channels, tiles } => {
            let found = g.batch * g.out_h.div_ceil(4) * g.out_w.div_ceil(4);
            g.in_channels.min(g.out_channels) >= channels && found >= tiles
        }
    }
}

static DIRECT: [&Kernel; 3] =
    [&kernel::CONV_DIRECT, &kernel::CONV_DIRECT_GRAD_INPUT, &kernel::CONV_DIRECT_GRAD_WEIGHT];

/// What the choice of a kernel depends on. Sizes are rounded up to powers of two.
fn shape_class(pass: Pass, g: &Geometry) -> Option<ShapeClass> {
    let pair = |[a, b]: [u32; 2]| if a == b { a.to_string() } else { format!("{a}x{b}") };
    let [ins, outs, height, width, batch] =
        [g.in_channels, g.out_channels, g.in_h, g.in_w, g.batch].map(u32::next_power_of_two);
    let unless_one = |name: &str, n: String| if n == "1" { String::new() } else { format!(", {name} {n}") };
    let shape = format!(
        "{}x{} stride {}{}{}, {ins} to {outs} channels, {height}x{width} pixels, batch {batch}",
        g.kernel_h,
        g.kernel_w,
        pair([g.stride_h, g.stride_w]),
        unless_one("dilation", pair([g.dilation_h, g.dilation_w])),
        unless_one("groups", g.groups.to_string()),
    );
    Some(ShapeClass { pass, shape })
}

/// The kernels that a way of a pass takes; of im2col, those beside the matrix product.
pub(crate) fn kernels(pass: Pass, way: ConvAlgorithm) -> &'static [&'static Kernel] {
    static UNFOLD: [&Kernel; 1] = [&kernel::IM2COL];
    static FOLD: [&Kernel; 1] = [&kernel::COL2IM];
    match (way, pass) {
        (ConvAlgorithm::Auto, _) | (_, Pass::Matmul) => &[],
        (ConvAlgorithm::Im2col, Pass::GradInput) => &FOLD,
        (ConvAlgorithm::Im2col, _) => &UNFOLD,
        (ConvAlgorithm::Direct, Pass::Forward) => &DIRECT[..1],
        (ConvAlgorithm::Direct, Pass::GradInput) => &DIRECT[1..2],
        (ConvAlgorithm::Direct, Pass::GradWeight) => &DIRECT[2..],
        (ConvAlgorithm::Window, _) => window::kernels(pass),
        (ConvAlgorithm::Gemm, _) => gemm::kernels(pass),
        (ConvAlgorithm::Winograd, _) => winograd::kernels(pass),
    }
}

/// The upstream gradient correlated with the filters turned around, phase by phase.
fn phases(
    node: &mut Lowering,
    g: &Geometry,
    correlate: fn(&mut Lowering, Pass, &ConvGemm, [StorageId; 4]) -> Result<()>,
) -> Result<()> {
    let operands = [0, 1, 1, 1].map(|i| node.input(i));
    correlation::transposed(g).try_for_each(|phase| correlate(node, Pass::GradInput, &phase, operands))
}

/// Emits a direct kernel: one invocation for each element of the output, or what becomes it.
fn direct(
    node: &mut Lowering,
    kernel: &'static Kernel,
    reads: &[StorageId],
    output: StorageId,
    g: &Geometry,
) -> Result<()> {
    let s = Sizes::new(g);
    let flops = 2 * g.batch as u64 * g.out_channels as u64 * s.pixels as u64 * s.taps as u64;
    node.launch(kernel, g, reads, &[output], Grid::Invocations(node.output_len(0) as u64), flops)
}

impl Operation for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn fused(&self) -> &'static [&'static str] {
        self.epilogue.operations()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let (own, residual) = self.epilogue.split(inputs);
        let (x, weight) = match own.len() {
            3 => {
                let [x, weight, bias] = floats(own)?;
                expect_shape("a bias", bias, &weight.shape[..1.min(weight.shape.len())])?;
                (x, weight)
            }
            _ => {
                let [x, weight] = floats(own)?;
                (x, weight)
            }
        };
        let y = TensorType::f32(output_shape(&self.geometry(x, weight)?));
        expect_residual(residual, &y)?;
        Ok(vec![y])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        self.epilogue.refuse(node)?;
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

    fn footprint(&self, inputs: &[&[usize]]) -> Footprint {
        let extent = [0, 1].map(|i| self.dilation[i] * (inputs[1][2 + i] - 1) + 1);
        Footprint::Window { extent, stride: self.stride, padding: self.padding }
    }

    fn shape_class(&self, inputs: &[&[usize]]) -> Option<ShapeClass> {
        shape_class(Pass::Forward, &self.checked(inputs[0], inputs[1]))
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let residual = self.epilogue.residual(node);
        let has_bias = (node.inputs() - residual.iter().len() == 3) as u32;
        let g = Geometry { has_bias, ..self.checked(node.input_shape(0), node.input_shape(1)) };
        let (x, weight) = (node.input(0), node.input(1));
        let bias = if has_bias == 1 { node.input(2) } else { weight };
        let p = ConvGemm { epilogue: self.epilogue as u32, ..correlation::forward(&g) };
        let operands = [x, weight, bias, residual.unwrap_or(weight)];
        match method(&g, node.target(), Pass::Forward, g.stride_w, true) {
            Method::Direct => self
                .epilogue
                .apart(node, |node, y| direct(node, &kernel::CONV_DIRECT, &[x, weight, bias], y, &g)),
            Method::Im2col => self.epilogue.apart(node, |node, y| im2col::forward(node, &g, y)),
            Method::Window => window::correlate(node, Pass::Forward, &p, operands),
            Method::Gemm => gemm::correlate(node, Pass::Forward, &p, operands),
            Method::Winograd => self
                .epilogue
                .apart(node, |node, y| winograd::correlate(node, Pass::Forward, &p, [x, weight, bias], y)),
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

    fn shape_class(&self, inputs: &[&[usize]]) -> Option<ShapeClass> {
        shape_class(Pass::GradInput, &self.conv.checked(&self.input_shape, inputs[1]))
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let g = self.conv.checked(&self.input_shape, node.input_shape(1));
        let (grad_output, weight) = (node.input(0), node.input(1));
        // Its phases are walked in single steps.
        match method(&g, node.target(), Pass::GradInput, 1, correlation::has_phases(&g)) {
            Method::Direct => {
                let reads = [grad_output, weight];
                direct(node, &kernel::CONV_DIRECT_GRAD_INPUT, &reads, node.output(0), &g)
            }
            Method::Im2col => im2col::grad_input(node, &g),
            Method::Window => window::grad_input(node, &g),
            Method::Gemm => phases(node, &g, gemm::correlate),
            Method::Winograd => phases(node, &g, |node, pass, p, [x, weight, ..]| {
                winograd::correlate(node, pass, p, [x, weight, weight], node.output(0))
            }),
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

    fn shape_class(&self, inputs: &[&[usize]]) -> Option<ShapeClass> {
        shape_class(Pass::GradWeight, &self.conv.checked(inputs[0], &self.weight_shape))
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let g = self.conv.checked(node.input_shape(0), &self.weight_shape);
        let (x, grad_output) = (node.input(0), node.input(1));
        match method(&g, node.target(), Pass::GradWeight, g.stride_w, true) {
            Method::Direct => {
                let reads = [grad_output, x];
                direct(node, &kernel::CONV_DIRECT_GRAD_WEIGHT, &reads, node.output(0), &g)
            }
            Method::Im2col => im2col::grad_weight(node, &g),
            Method::Window => window::grad_weight(node, &g),
            Method::Gemm => gemm::grad_weight(node, &g),
            Method::Winograd => winograd::grad_weight(node, &g),
        }
    }
}
