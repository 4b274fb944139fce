//! Max-pooling and average pooling, sliding and adaptive. Global pooling is adaptive pooling to 1 x 1.

use super::{Footprint, Gradient, Op, Operation, Window, exactly, expect_shape, floats, image};
use crate::{DType, Result, TensorType};

/// Max-pooling with a sliding window; PyTorch's fields and defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxPool2d {
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Vertical and horizontal stride; the kernel size if `None`.
    pub stride: Option<[usize; 2]>,
    /// Padding on each side, at most half the kernel size; padding is never the maximum.
    pub padding: [usize; 2],
    /// Round the output size up.
    pub ceil_mode: bool,
}

/// Average pooling with a sliding window; PyTorch's fields and defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvgPool2d {
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Vertical and horizontal stride; the kernel size if `None`.
    pub stride: Option<[usize; 2]>,
    /// Zeros on each side, at most half the kernel size.
    pub padding: [usize; 2],
    /// Round the output size up.
    pub ceil_mode: bool,
    /// Count padding in the divisor.
    pub count_include_pad: bool,
}

/// Max-pooling to a given output size; `[1, 1]` is global.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveMaxPool2d {
    /// Height and width of the result.
    pub output_size: [usize; 2],
}

/// Average pooling to a given output size; `[1, 1]` is global.
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
    fn from(pool: MaxPool2d) -> Op {
        let MaxPool2d { kernel_size, stride, padding, ceil_mode } = pool;
        let stride = stride.unwrap_or(kernel_size);
        MaxPool { window: Window::Sliding { kernel_size, stride, padding, ceil_mode } }.into()
    }
}

impl From<AvgPool2d> for Op {
    fn from(pool: AvgPool2d) -> Op {
        let AvgPool2d { kernel_size, stride, padding, ceil_mode, count_include_pad } = pool;
        let stride = stride.unwrap_or(kernel_size);
        let window = Window::Sliding { kernel_size, stride, padding, ceil_mode };
        AvgPool { window, count_include_pad }.into()
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

/// Max-pooling. Outputs: the maxima, and the index of each in its input plane (u32).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MaxPool {
    /// The windows.
    pub window: Window,
}

/// Gradient of [`MaxPool`] from the upstream gradient and the indices of the maxima.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPoolGrad {
    /// The windows.
    pub window: Window,
    /// Shape of the pooled input.
    pub input_shape: Vec<usize>,
}

/// Average pooling.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct AvgPool {
    /// The windows.
    pub window: Window,
    /// Count padding in the divisor.
    pub count_include_pad: bool,
}

/// Gradient of [`AvgPool`] from the upstream gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPoolGrad {
    /// The average pooling.
    pub pool: AvgPool,
    /// Shape of the pooled input.
    pub input_shape: Vec<usize>,
}

/// Largest image side for which the kernels divide exactly; see `quotient` in `shaders/pool.wgsl`.
const MAX_SIDE: usize = 1 << 22;

fn pooled_shape(window: &Window, x: &TensorType) -> Result<Vec<usize>, String> {
    let [n, c, h, w] = image("an input", x)?;
    let [oh, ow] = window.output_size([h, w])?;
    let ([kh, kw], _, [ph, pw]) = window.sliding();
    if let Some(size) = [h, w, oh, ow, kh, kw, ph, pw].into_iter().find(|size| *size > MAX_SIDE) {
        return Err(format!(
            "expected images and windows of at most {MAX_SIDE} pixels per side, found {size}"
        ));
    }
    Ok(vec![n, c, oh, ow])
}

impl Operation for MaxPool {
    const NAME: &'static str = "max_pool2d";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        let shape = pooled_shape(&self.window, x)?;
        Ok(vec![TensorType::f32(shape.clone()), TensorType::u32(shape)])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let grad = MaxPoolGrad { window: self.window, input_shape: node.input_shape(0) };
        node.set_to(0, grad, &[node.grad_output()?, node.output(1)])
    }

    fn footprint(&self, inputs: &[&[usize]]) -> Footprint {
        self.window.footprint([inputs[0][2], inputs[0][3]])
    }
}

impl Operation for MaxPoolGrad {
    const NAME: &'static str = "max_pool2d_grad";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [grad_output, index] = exactly(inputs)?;
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
}

impl Operation for AvgPool {
    const NAME: &'static str = "avg_pool2d";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x] = floats(inputs)?;
        Ok(vec![TensorType::f32(pooled_shape(&self.window, x)?)])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        let grad = AvgPoolGrad { pool: *self, input_shape: node.input_shape(0) };
        node.set_to(0, grad, &[node.grad_output()?])
    }

    fn footprint(&self, inputs: &[&[usize]]) -> Footprint {
        self.window.footprint([inputs[0][2], inputs[0][3]])
    }
}

impl Operation for AvgPoolGrad {
    const NAME: &'static str = "avg_pool2d_grad";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [grad_output] = floats(inputs)?;
        let input = TensorType::f32(self.input_shape.clone());
        expect_shape("a gradient", grad_output, &pooled_shape(&self.pool.window, &input)?)?;
        Ok(vec![input])
    }
}
