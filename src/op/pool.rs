//! Max and average pooling, sliding and adaptive (global pooling is adaptive to 1 x 1).

use super::{Footprint, Op, Operation, Window, expect_shape, floats, image, word};
use crate::graph::Gradient;
use crate::kernel::{self, Kernel, Pool};
use crate::plan::{Grid, Lowering};
use crate::{DType, Result, TensorType};

/// Max-pooling with a sliding window; PyTorch's fields and defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxPool2d {
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Step down and right; the kernel's size if `None`.
    pub stride: Option<[usize; 2]>,
    /// Padding on each side, at most half the kernel; never a maximum.
    pub padding: [usize; 2],
    /// Round the output's size up.
    pub ceil_mode: bool,
}

/// Average pooling with a sliding window; PyTorch's fields and defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvgPool2d {
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Step down and right; the kernel's size if `None`.
    pub stride: Option<[usize; 2]>,
    /// Zeros on each side, at most half the kernel.
    pub padding: [usize; 2],
    /// Round the output's size up.
    pub ceil_mode: bool,
    /// Count padding in the divisor.
    pub count_include_pad: bool,
}

/// Max-pooling to a given size; `[1, 1]` is global.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveMaxPool2d {
    /// Height and width of the result.
    pub output_size: [usize; 2],
}

/// Average pooling to a given size; `[1, 1]` is global.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveAvgPool2d {
    /// Height and width of the result.
    pub output_size: [usize; 2],
}

impl Default for MaxPool2d {
    fn default() -> Self {
        Self { kernel_size: [2, 2], stride: None, padding: [0, 0], ceil_mode: false }
    }
}

impl Default for AvgPool2d {
    fn default() -> Self {
        Self { kernel_size: [2, 2], stride: None, padding: [0, 0], ceil_mode: false, count_include_pad: true }
    }
}

impl From<MaxPool2d> for Op {
    fn from(p: MaxPool2d) -> Op {
        let stride = p.stride.unwrap_or(p.kernel_size);
        let (kernel_size, padding, ceil_mode) = (p.kernel_size, p.padding, p.ceil_mode);
        MaxPool { window: Window::Sliding { kernel_size, stride, padding, ceil_mode } }.into()
    }
}

impl From<AvgPool2d> for Op {
    fn from(p: AvgPool2d) -> Op {
        let stride = p.stride.unwrap_or(p.kernel_size);
        let (kernel_size, padding, ceil_mode) = (p.kernel_size, p.padding, p.ceil_mode);
        let window = Window::Sliding { kernel_size, stride, padding, ceil_mode };
        AvgPool { window, count_include_pad: p.count_include_pad }.into()
    }
}

impl From<AdaptiveMaxPool2d> for Op {
    fn from(p: AdaptiveMaxPool2d) -> Op {
        MaxPool { window: Window::Adaptive { output_size: p.output_size } }.into()
    }
}

impl From<AdaptiveAvgPool2d> for Op {
    fn from(p: AdaptiveAvgPool2d) -> Op {
        AvgPool { window: Window::Adaptive { output_size: p.output_size }, count_include_pad: false }.into()
    }
}

/// Max-pooling over any windows. Outputs: the maxima, and where in its plane each stands (u32).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxPool {
    /// The windows.
    pub window: Window,
}

/// Gradient of [`MaxPool`] from the upstream gradient and the maxima's places.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPoolGrad {
    /// The windows.
    pub window: Window,
    /// Shape of the pooled input.
    pub input_shape: Vec<usize>,
}

/// Average pooling over any windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvgPool {
    /// The windows.
    pub window: Window,
    /// Count padding in the divisor.
    pub count_include_pad: bool,
}

/// Gradient of [`AvgPool`] from the upstream gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPoolGrad {
    /// The pooling.
    pub pool: AvgPool,
    /// Shape of the pooled input.
    pub input_shape: Vec<usize>,
}

/// Rows and columns that the kernels can tell apart; see `quotient` in `shaders/pool.wgsl`.
const LONGEST: usize = 1 << 22;

fn pooled_shape(window: &Window, x: &TensorType) -> Result<Vec<usize>, String> {
    let [n, c, h, w] = image("an input", x)?;
    let [oh, ow] = window.output_size([h, w])?;
    let ([kh, kw], _, [ph, pw]) = window.sliding();
    if let Some(size) = [h, w, oh, ow, kh, kw, ph, pw].into_iter().find(|size| *size > LONGEST) {
        return Err(format!("expected images and windows of at most {LONGEST} pixels a side, found {size}"));
    }
    Ok(vec![n, c, oh, ow])
}

fn params(window: &Window, input: &[usize], output: &[usize]) -> Pool {
    let (kernel_size, stride, padding) = window.sliding();
    let ([kernel_h, kernel_w], [stride_h, stride_w]) = (kernel_size.map(word), stride.map(word));
    let [padding_h, padding_w] = padding.map(word);
    Pool {
        planes: word(input[0] * input[1]),
        in_h: word(input[2]),
        in_w: word(input[3]),
        out_h: word(output[2]),
        out_w: word(output[3]),
        kernel_h,
        kernel_w,
        stride_h,
        stride_w,
        padding_h,
        padding_w,
        adaptive: matches!(window, Window::Adaptive { .. }) as u32,
        count_include_pad: 0,
    }
}

/// Additions (or comparisons) of a pooling: each window's pixels, padding included.
fn flops(params: &Pool) -> u64 {
    let inputs = params.planes as u64 * params.in_h as u64 * params.in_w as u64;
    let outputs = params.planes as u64 * params.out_h as u64 * params.out_w as u64;
    if params.adaptive == 1 { inputs } else { outputs * params.kernel_h as u64 * params.kernel_w as u64 }
}

/// Whether the windows are 2 x 2, side by side, and rows of them can be read four pixels at a time.
fn is_halves(p: &Pool) -> bool {
    let windows =
        [p.kernel_h, p.kernel_w, p.stride_h, p.stride_w] == [2; 4] && [p.padding_h, p.padding_w] == [0; 2];
    windows && p.in_h.is_multiple_of(2) && p.in_w.is_multiple_of(4)
}

/// Emits a kernel whose invocations compute so many elements of the first output each.
fn lower(node: &mut Lowering, kernel: &'static Kernel, each: u64, params: &Pool) -> Result<()> {
    let reads: Vec<_> = (0..kernel.reads).map(|i| node.input(i)).collect();
    let writes: Vec<_> = (0..kernel.writes).map(|i| node.output(i)).collect();
    let grid = Grid::Invocations(node.output_len(0) as u64 / each);
    node.launch(kernel, params, &reads, &writes, grid, flops(params))
}

impl Operation for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        let shape = pooled_shape(&self.window, x)?;
        Ok(vec![TensorType::f32(shape.clone()), TensorType::u32(shape)])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        let (grad_output, index) = (node.grad_output()?, node.output(1));
        let grad = MaxPoolGrad { window: self.window, input_shape: node.input_shape(0) };
        let grad_input = node.apply(grad, &[grad_output, index])?[0];
        node.set(0, grad_input);
        Ok(())
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = params(&self.window, node.input_shape(0), node.output_shape(0));
        let (kernel, each) = match params.adaptive {
            0 if is_halves(&params) => (&kernel::MAX_POOL_HALVES, 2),
            0 => (&kernel::MAX_POOL, 1),
            _ => (&kernel::ADAPTIVE_MAX_POOL, 1),
        };
        lower(node, kernel, each, &params)
    }

    fn footprint(&self, inputs: &[&[usize]]) -> Footprint {
        self.window.footprint([inputs[0][2], inputs[0][3]])
    }
}

impl Operation for MaxPoolGrad {
    fn name(&self) -> &'static str {
        "max_pool2d_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let &[grad_output, index] = inputs else {
            return Err(format!("expected 2 inputs, found {}", inputs.len()));
        };
        if index.dtype != DType::U32 || index.shape != grad_output.shape {
            return Err(format!(
                "expected u32 indices of shape {:?}, found {:?}",
                grad_output.shape, index.shape
            ));
        }
        let input = TensorType::f32(self.input_shape.clone());
        expect_shape("a gradient", grad_output, &pooled_shape(&self.window, &input)?)?;
        Ok(vec![input])
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = params(&self.window, &self.input_shape, node.input_shape(0));
        let apart = params.kernel_h <= params.stride_h && params.kernel_w <= params.stride_w;
        let (kernel, each) = match params.adaptive {
            0 if is_halves(&params) => (&kernel::MAX_POOL_GRAD_HALVES, 8),
            0 if apart => (&kernel::MAX_POOL_GRAD_APART, 1),
            0 => (&kernel::MAX_POOL_GRAD, 1),
            _ => (&kernel::ADAPTIVE_MAX_POOL_GRAD, 1),
        };
        lower(node, kernel, each, &params)
    }
}

impl Operation for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        Ok(vec![TensorType::f32(pooled_shape(&self.window, x)?)])
    }

    fn gradient(&self, node: &mut Gradient<'_>) -> Result<()> {
        let grad_output = node.grad_output()?;
        let grad = AvgPoolGrad { pool: *self, input_shape: node.input_shape(0) };
        let grad_input = node.apply(grad, &[grad_output])?[0];
        node.set(0, grad_input);
        Ok(())
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = params(&self.window, node.input_shape(0), node.output_shape(0));
        let count_include_pad = self.count_include_pad as u32;
        let kernel = if params.adaptive == 0 { &kernel::AVG_POOL } else { &kernel::ADAPTIVE_AVG_POOL };
        lower(node, kernel, 1, &Pool { count_include_pad, ..params })
    }

    fn footprint(&self, inputs: &[&[usize]]) -> Footprint {
        self.window.footprint([inputs[0][2], inputs[0][3]])
    }
}

impl Operation for AvgPoolGrad {
    fn name(&self) -> &'static str {
        "avg_pool2d_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [grad_output] = floats(inputs)?;
        let input = TensorType::f32(self.input_shape.clone());
        expect_shape("a gradient", grad_output, &pooled_shape(&self.pool.window, &input)?)?;
        Ok(vec![input])
    }

    fn lower(&self, node: &mut Lowering<'_, '_>) -> Result<()> {
        let params = params(&self.pool.window, &self.input_shape, node.input_shape(0));
        let count_include_pad = self.pool.count_include_pad as u32;
        let kernel =
            if params.adaptive == 0 { &kernel::AVG_POOL_GRAD } else { &kernel::ADAPTIVE_AVG_POOL_GRAD };
        lower(node, kernel, 1, &Pool { count_include_pad, ..params })
    }
}
