//! Two-dimensional convolution and its gradients.

use super::epilogue::{Epilogue, GradEpilogue, expect_residual};
use super::window::output_size;
use super::{
    ChannelSum, Footprint, Gradient, Operation, expect_shape, floats, floats_and_option, image, narrow,
};
use crate::kernel::Conv as Geometry;
use crate::{Result, TensorType};

/// Convolution (cross-correlation, as usual in deep learning). Inputs: x `[batch, in_channels, height, width]`, weight
/// `[out_channels, in_channels / groups, kernel_h, kernel_w]` and optionally bias `[out_channels]`. Fields and defaults are
/// PyTorch's; pairs are (vertical, horizontal).
///
/// All algorithms except Winograd compute the sums of the definition in some order. Winograd's errors, relative to the largest
/// result and for operands of similar magnitude, stay below 1e-6 for 2 x 2 tiles and 1e-5 for 4 x 4 tiles, the default. For weight
/// gradients, which are summed over all tiles, they stay below four times that. A NaN or infinity also turns other pixels of the
/// tiles that read it into NaN: all of them on the CPU, which multiplies by the zeros of the transforms, and possibly fewer on a
/// GPU. [`Target::winograd`](crate::plan::Target::winograd) disables the algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    /// Distance between taps.
    pub dilation: [usize; 2],
    /// Number of channel groups that are convolved separately; `in_channels` of them is a depthwise convolution.
    pub groups: usize,
    /// Operations that follow in the same pass.
    pub epilogue: Epilogue,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1, epilogue: Epilogue::None }
    }
}

/// Gradient of [`Conv2d`] with respect to its input, from the upstream gradient and the weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conv2dGradInput {
    /// The convolution.
    pub conv: Conv2d,
    /// Shape of its input.
    pub input_shape: Vec<usize>,
    /// Operations that follow in the same pass.
    pub epilogue: GradEpilogue,
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
        // Some kernels loop over all phases of a stride, and a stride larger than the padded image acts like one of its size.
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
            images: batch,
            rows: out_h,
            ..Default::default()
        })
    }

    /// The geometry for shapes that `infer` accepted.
    pub(crate) fn geometry_of(&self, x: &[usize], weight: &[usize]) -> Geometry {
        self.geometry(&TensorType::f32(x), &TensorType::f32(weight))
            .expect("shapes were checked when the node was made")
    }
}

fn output_shape(g: &Geometry) -> Vec<usize> {
    [g.batch, g.out_channels, g.out_h, g.out_w].map(|v| v as usize).to_vec()
}

impl Operation for Conv2d {
    const NAME: &'static str = "conv2d";

    fn fused(&self) -> &'static [&'static str] {
        self.epilogue.operations()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let (own, residual) = self.epilogue.split(inputs);
        let ([x, weight], bias) = floats_and_option(own)?;
        if let Some(bias) = bias {
            expect_shape("a bias", bias, &weight.shape[..1.min(weight.shape.len())])?;
        }
        let y = TensorType::f32(output_shape(&self.geometry(x, weight)?));
        expect_residual(residual, &y)?;
        Ok(vec![y])
    }

    fn gradient(&self, node: &mut impl Gradient) -> Result<()> {
        self.epilogue.reject(node)?;
        let (x, weight, grad_output) = (node.input(0), node.input(1), node.grad_output()?);
        if node.needs(0) {
            let op = Conv2dGradInput { conv: *self, input_shape: node.input_shape(0), ..Default::default() };
            node.set_to(0, op, &[grad_output, weight])?;
        }
        if node.needs(1) {
            let op = Conv2dGradWeight { conv: *self, weight_shape: node.input_shape(1) };
            node.set_to(1, op, &[x, grad_output])?;
        }
        if node.needs(2) {
            node.set_to(2, ChannelSum, &[grad_output])?;
        }
        Ok(())
    }

    fn footprint(&self, inputs: &[&[usize]]) -> Footprint {
        let extent = [0, 1].map(|i| self.dilation[i] * (inputs[1][2 + i] - 1) + 1);
        Footprint::Window { extent, stride: self.stride, padding: self.padding }
    }
}

impl Operation for Conv2dGradInput {
    const NAME: &'static str = "conv2d_grad_input";

    fn fused(&self) -> &'static [&'static str] {
        self.epilogue.operations()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let input = TensorType::f32(self.input_shape.clone());
        let (own, more) = inputs.split_at(inputs.len().saturating_sub(self.epilogue.operations().len()));
        let [grad_output, weight] = floats(own)?;
        more.iter().try_for_each(|operand| expect_residual(Some(operand), &input))?;
        expect_shape("a gradient", grad_output, &output_shape(&self.conv.geometry(&input, weight)?))?;
        Ok(vec![input])
    }
}

impl Operation for Conv2dGradWeight {
    const NAME: &'static str = "conv2d_grad_weight";

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let [x, grad_output] = floats(inputs)?;
        let weight = TensorType::f32(self.weight_shape.clone());
        expect_shape("a gradient", grad_output, &output_shape(&self.conv.geometry(x, &weight)?))?;
        Ok(vec![weight])
    }
}
