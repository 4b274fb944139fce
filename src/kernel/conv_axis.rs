//! The sizes of a convolution along one axis, and the polyphase decomposition of its input gradient.

use super::Conv;

/// A convolution along one axis.
#[derive(Clone, Copy)]
pub(crate) struct ConvAxis {
    /// Input pixels.
    pub size: usize,
    /// Outputs.
    pub outs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

/// The input pixels `start`, `start` + stride, ... and the taps that read them. Their gradient is a stride-1 convolution.
pub(crate) struct Phase {
    pub start: usize,
    /// Number of pixels.
    pub pixels: usize,
    pub taps: Vec<PhaseTap>,
}

/// A tap of a phase: output i + `shift` reads the i-th pixel with it.
pub(crate) struct PhaseTap {
    /// Index in the filter.
    pub index: usize,
    pub shift: isize,
}

impl Conv {
    /// The vertical and horizontal axis.
    pub(crate) fn axes(&self) -> [ConvAxis; 2] {
        let axis = |[size, outs, kernel, stride, padding, dilation]: [u32; 6]| ConvAxis {
            size: size as usize,
            outs: outs as usize,
            kernel: kernel as usize,
            stride: stride as usize,
            padding: padding as usize,
            dilation: dilation as usize,
        };
        [
            axis([self.in_h, self.out_h, self.kernel_h, self.stride_h, self.padding_h, self.dilation_h]),
            axis([self.in_w, self.out_w, self.kernel_w, self.stride_w, self.padding_w, self.dilation_w]),
        ]
    }
}

impl ConvAxis {
    /// The phases of the input, one per remainder modulo the stride.
    pub(crate) fn phases(self) -> impl Iterator<Item = Phase> {
        (0..self.stride.min(self.size)).map(move |start| self.phase(start))
    }

    fn phase(self, start: usize) -> Phase {
        // Output o reads pixel p with tap k if o * stride = p + padding - k * dilation.
        let stride = self.stride as isize;
        let reach = |k: usize| (start + self.padding) as isize - (k * self.dilation) as isize;
        let taps = (0..self.kernel).filter(|k| reach(*k) % stride == 0);
        Phase {
            start,
            pixels: (self.size - start).div_ceil(self.stride),
            taps: taps.map(|index| PhaseTap { index, shift: reach(index) / stride }).collect(),
        }
    }
}
