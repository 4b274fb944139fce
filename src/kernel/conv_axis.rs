//! The sizes of a convolution along one axis, and the polyphase decomposition of its input gradient.

use super::{Conv, ConvGemm};

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

impl ConvGemm {
    /// Most phases of an input gradient that a launch computes.
    pub const PHASES_PER_LAUNCH: usize = 4;

    /// One launch for at most four phases, which differ only in what `more_phases` has.
    pub fn of_phases(phases: &[ConvGemm]) -> Self {
        assert!(phases.len() <= Self::PHASES_PER_LAUNCH, "a launch of {} phases", phases.len());
        let mut all = phases[0];
        let more = all.more_phases.chunks_mut(2);
        for (p, out) in phases[1..].iter().zip(more) {
            out[0] = [p.out_h, p.out_w, p.kernel_h, p.kernel_w];
            out[1] = [p.padding_h, p.padding_w, p.w_start, p.y_start];
        }
        all.phases = phases.len() as u32;
        all
    }

    /// The phases of a launch.
    pub fn each_phase(&self) -> impl Iterator<Item = ConvGemm> {
        let first = ConvGemm { phases: 1, ..*self };
        let more =
            self.more_phases.chunks(2).take((self.phases as usize).saturating_sub(1)).map(move |words| {
                let [[out_h, out_w, kernel_h, kernel_w], [padding_h, padding_w, w_start, y_start]] =
                    [words[0], words[1]];
                ConvGemm { out_h, out_w, kernel_h, kernel_w, padding_h, padding_w, w_start, y_start, ..first }
            });
        [first].into_iter().chain(more)
    }
}
