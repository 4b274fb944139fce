//! Images unfolded along rows alone.
//!
//! For each plane and horizontal tap, a panel holds the rows of the image with the pixel that the tap reads for each output,
//! or zero in the padding. Rows of the panel are as long as rows of outputs, so a vertical tap is an offset into the panel,
//! and several rows of outputs are contiguous. A panel is smaller than im2col's columns by a factor of the filter's height,
//! and takes less time to write.

use crate::kernel::{self, ConvAxis};
use std::ops::Range;

/// A tap along one axis.
#[derive(Clone, Copy)]
pub struct Tap {
    /// Its index in the filter.
    pub index: usize,
    /// Output i reads pixel i * step + shift.
    pub shift: isize,
}

/// One axis of a convolution, or of the transpose of one.
#[derive(Clone)]
pub struct Axis {
    pub outs: usize,
    /// Pixels of the source.
    pub size: usize,
    pub step: usize,
    pub taps: Vec<Tap>,
}

impl Axis {
    /// The axis of a forward convolution.
    pub fn forward(a: &ConvAxis) -> Self {
        let shift = |k: usize| (k * a.dilation) as isize - a.padding as isize;
        let taps = (0..a.kernel).map(|index| Tap { index, shift: shift(index) }).collect();
        Self { outs: a.outs, size: a.size, step: a.stride, taps }
    }

    /// The axis of an input gradient for one phase: pixel i gets the gradients of the outputs i + shift.
    pub fn transposed(a: ConvAxis, phase: kernel::Phase) -> Self {
        let taps = phase.taps.into_iter().map(|tap| Tap { index: tap.index, shift: tap.shift });
        Self { outs: phase.pixels, size: a.outs, step: 1, taps: taps.collect() }
    }

    /// Those of `outs` outputs for which a tap with this shift is inside the image.
    fn inside(&self, outs: usize, shift: isize) -> Range<usize> {
        let before = |pixel: isize| (pixel - shift).max(0).unsigned_abs().div_ceil(self.step);
        let end = before(self.size as isize).min(outs);
        before(0).min(end)..end
    }
}

/// Every `step`-th row of the image, so that neighboring outputs read neighboring rows.
struct Phase {
    /// Remainder of the rows' indices modulo `step`.
    phase: isize,
    /// The first row, relative to the first output's.
    first: isize,
    rows: usize,
    /// The first row's index in the panel.
    start: usize,
}

/// The layout of a panel.
pub struct Layout {
    y: Axis,
    x: Axis,
    planes: usize,
    phases: Vec<Phase>,
    /// Rows per plane and horizontal tap.
    rows: usize,
}

impl Layout {
    /// For `rows` rows of outputs.
    pub fn new(y: &Axis, x: &Axis, planes: usize, rows: usize) -> Self {
        let step = y.step as isize;
        let (mut phases, mut start) = (Vec::new(), 0);
        for phase in 0..step {
            let own = || y.taps.iter().filter(|t| t.shift.rem_euclid(step) == phase);
            let reach = || own().map(|t| t.shift.div_euclid(step));
            if let (Some(first), Some(last)) = (reach().min(), reach().max()) {
                let rows = rows + (last - first) as usize;
                phases.push(Phase { phase, first, rows, start });
                start += rows;
            }
        }
        Self { y: y.clone(), x: x.clone(), planes, phases, rows: start }
    }

    /// Elements of the panel.
    pub fn len(&self) -> usize {
        self.planes * self.x.taps.len() * self.rows * self.x.outs
    }

    /// Calls `f` with plane, vertical and horizontal tap, and the offset of the first output's pixel in the panel.
    pub fn each(&self, mut f: impl FnMut(usize, Tap, Tap, usize)) {
        let step = self.y.step as isize;
        for plane in 0..self.planes {
            for &ty in &self.y.taps {
                let own = |p: &&Phase| p.phase == ty.shift.rem_euclid(step);
                let phase = self.phases.iter().find(own).expect("every tap has a phase");
                let row = phase.start + (ty.shift.div_euclid(step) - phase.first) as usize;
                for (i, &tx) in self.x.taps.iter().enumerate() {
                    let line = (plane * self.x.taps.len() + i) * self.rows + row;
                    f(plane, ty, tx, line * self.x.outs);
                }
            }
        }
    }

    /// Fills a panel for the outputs from row `row` on. `source` holds the planes, one after another.
    pub fn fill(&self, panel: &mut [f32], source: &[f32], row: usize) {
        let mut panel = panel;
        for source in source.chunks_exact((self.y.size * self.x.size).max(1)).take(self.planes) {
            for tap in &self.x.taps {
                for phase in &self.phases {
                    let (part, rest) = panel.split_at_mut(phase.rows * self.x.outs);
                    self.fill_phase(part, source, row as isize + phase.first, phase.phase, tap.shift);
                    panel = rest;
                }
            }
        }
    }

    /// Fills the rows `first`, `first` + 1, ... of a phase for one horizontal tap.
    fn fill_phase(&self, out: &mut [f32], source: &[f32], first: isize, phase: isize, shift: isize) {
        let (y, x) = (&self.y, &self.x);
        let rows = y.inside(out.len() / x.outs, first * y.step as isize + phase);
        let columns = x.inside(x.outs, shift);
        out[..rows.start * x.outs].fill(0.0);
        out[rows.end * x.outs..].fill(0.0);
        if rows.is_empty() {
            return;
        }
        let out = &mut out[rows.start * x.outs..rows.end * x.outs];
        if columns.is_empty() {
            return out.fill(0.0);
        }
        let top = ((rows.start as isize + first) * y.step as isize + phase) as usize;
        let left = (columns.start * x.step).wrapping_add_signed(shift);
        if y.step == 1 && x.step == 1 && x.outs == x.size {
            // All rows are contiguous, shifted by the tap.
            let pixels = &source[top * x.size..][..out.len()];
            let moved = out.len() - shift.unsigned_abs();
            out[columns.start..][..moved].copy_from_slice(&pixels[left..][..moved]);
        } else {
            for (i, out) in out.chunks_exact_mut(x.outs).enumerate() {
                let pixels = source[(top + i * y.step) * x.size..][left..x.size].iter().step_by(x.step);
                out[columns.clone()].iter_mut().zip(pixels).for_each(|(out, &v)| *out = v);
            }
        }
        for column in (0..columns.start).chain(columns.end..x.outs) {
            out[column..].iter_mut().step_by(x.outs).for_each(|v| *v = 0.0);
        }
    }
}
