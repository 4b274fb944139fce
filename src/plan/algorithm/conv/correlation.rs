//! Convolutions and their transposes in one form: correlations with arbitrary strides of weights and results.

use super::{Geometry, Sizes};
use crate::kernel::{ConvGemm, Phase};
use crate::op::to_u32;

/// The convolution itself.
pub(super) fn forward(g: &Geometry) -> ConvGemm {
    let s = Sizes::new(g);
    ConvGemm {
        batch: g.batch,
        in_channels: g.in_channels / g.groups,
        in_h: g.in_h,
        in_w: g.in_w,
        out_channels: s.outs,
        out_h: g.out_h,
        out_w: g.out_w,
        kernel_h: g.kernel_h,
        kernel_w: g.kernel_w,
        stride_h: g.stride_h,
        stride_w: g.stride_w,
        dilation_h: g.dilation_h,
        dilation_w: g.dilation_w,
        padding_h: g.padding_h,
        padding_w: g.padding_w,
        groups: g.groups,
        w_group: s.outs * s.taps,
        w_out: s.taps,
        w_in: g.kernel_h * g.kernel_w,
        w_down: g.kernel_w,
        w_right: 1,
        y_plane: s.pixels,
        y_down: g.out_w,
        y_right: 1,
        has_bias: g.has_bias,
        phases: 1,
        ..Default::default()
    }
}

/// Maximum number of phases of an input gradient, since every launch computes only a few.
const MAX_PHASES: u64 = 256;

/// Whether the input gradient decomposes into few phases that are all correlations.
pub(super) fn has_few_phases(g: &Geometry) -> bool {
    let [down, across] = [g.stride_h.min(g.in_h), g.stride_w.min(g.in_w)].map(u64::from);
    (g.stride_h == 1 || g.dilation_h == 1)
        && (g.stride_w == 1 || g.dilation_w == 1)
        && down * across <= MAX_PHASES
}

/// The polyphase decomposition of the input gradient. At stride 2 there are four phases of pixels. Each is a correlation of the
/// upstream gradient with every second tap, with the filters rotated by 180 degrees and the channels swapped. If no tap reads the
/// pixels of several phases, a first launch computes all pixels as a correlation without taps, and the other phases overwrite theirs.
/// Returns the launches, each of up to `together` phases.
pub(super) fn polyphase(g: &Geometry, together: usize) -> Vec<ConvGemm> {
    let [vertical, horizontal] = g.axes().map(|axis| axis.phases().collect::<Vec<_>>());
    let phases = vertical.iter().flat_map(|y| horizontal.iter().map(|x| phase(g, y, x)));
    let (read, unread): (Vec<_>, Vec<_>) = phases.partition(|p| p.kernel_h * p.kernel_w > 0);
    let (before, phases) = match unread.len() {
        0 | 1 => (None, [read, unread].concat()),
        _ => (Some(without_taps(g)), read),
    };
    before.into_iter().chain(phases.chunks(together).map(ConvGemm::of_phases)).collect()
}

fn without_taps(g: &Geometry) -> ConvGemm {
    let p = rotated(g);
    ConvGemm { kernel_h: 0, kernel_w: 0, stride_h: 1, stride_w: 1, padding_h: 0, padding_w: 0, ..p }
}

/// The whole input gradient, with channels swapped and filters rotated by 180 degrees. The kernel handles the stride.
pub(super) fn rotated(g: &Geometry) -> ConvGemm {
    let p = forward(g);
    ConvGemm {
        in_channels: p.out_channels,
        in_h: g.out_h,
        in_w: g.out_w,
        out_channels: p.in_channels,
        out_h: g.in_h,
        out_w: g.in_w,
        w_out: p.w_in,
        w_in: p.w_out,
        w_start: p.w_in - 1,
        w_down: g.kernel_w.wrapping_neg(),
        w_right: 1_u32.wrapping_neg(),
        y_plane: g.in_h * g.in_w,
        y_down: g.in_w,
        has_bias: 0,
        ..p
    }
}

fn phase(g: &Geometry, y: &Phase, x: &Phase) -> ConvGemm {
    let p = forward(g);
    let last_tap = |phase: &Phase| phase.taps.last().map_or((0, 0), |tap| (to_u32(tap.index), tap.shift));
    let ((last_h, shift_h), (last_w, shift_w)) = (last_tap(y), last_tap(x));
    ConvGemm {
        in_channels: p.out_channels,
        in_h: g.out_h,
        in_w: g.out_w,
        out_channels: p.in_channels,
        out_h: to_u32(y.pixels),
        out_w: to_u32(x.pixels),
        kernel_h: to_u32(y.taps.len()),
        kernel_w: to_u32(x.taps.len()),
        stride_h: 1,
        stride_w: 1,
        // In two's complement: the rotated filter starts with the last tap.
        padding_h: shift_h.wrapping_neg() as u32,
        padding_w: shift_w.wrapping_neg() as u32,
        w_out: p.w_in,
        w_in: p.w_out,
        w_start: last_h * g.kernel_w + last_w,
        // A single row or column has no successor.
        w_down: (g.stride_h.min(g.kernel_h) * g.kernel_w).wrapping_neg(),
        w_right: g.stride_w.min(g.kernel_w).wrapping_neg(),
        y_plane: g.in_h * g.in_w,
        y_start: to_u32(y.start) * g.in_w + to_u32(x.start),
        y_down: g.stride_h.min(g.in_h) * g.in_w,
        y_right: g.stride_w.min(g.in_w),
        has_bias: 0,
        ..p
    }
}

/// Bytes that phases of an input gradient move, where the epilogue reads `operands` values per result.
pub(super) fn phase_bytes(p: &ConvGemm, operands: u64) -> u64 {
    let [outs, ins] = [p.out_channels, p.in_channels].map(u64::from);
    let planes = u64::from(p.batch * p.groups);
    let taps: u64 = p.each_phase().map(|p| u64::from(p.kernel_h * p.kernel_w)).sum();
    let pixels: u64 = p.each_phase().map(|p| u64::from(p.out_h * p.out_w)).sum();
    let images = planes * ins * u64::from(p.in_h * p.in_w);
    let weights = u64::from(p.groups) * outs * ins * taps;
    let results = planes * outs * pixels;
    4 * (results * (1 + operands) + if taps > 0 { images + weights } else { 0 })
}

/// Floating-point operations of a correlation.
pub(super) fn flops(p: &ConvGemm) -> u64 {
    let of_phase = |p: ConvGemm| {
        let results = (p.batch * p.groups * p.out_channels) as u64 * (p.out_h * p.out_w) as u64;
        2 * results * (p.in_channels * p.kernel_h * p.kernel_w) as u64
    };
    p.each_phase().map(of_phase).sum()
}
