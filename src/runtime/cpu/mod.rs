//! The CPU executor. Every kernel in `shaders/` has a twin: a CPU function with the same parameters and buffers.
//!
//! Plain twins are the reference that kernels are tested against. They are written from the definition: plain loops, with
//! sums in `f64` that are rounded once. Fast twins, most of them in [`fast`], run if there is no GPU and make benchmarks
//! fair. No result depends on the number of threads.
//!
//! Buffers are pooled and may be longer than their data, so twins take every length from the parameters.

pub mod arrays;
pub mod batch_norm;
pub mod conv;
pub mod conv_gemm;
pub mod conv_register_tiled;
pub mod dropout;
pub mod elementwise;
mod executor;
pub mod fast;
mod io;
pub mod local_response_norm;
pub mod loss;
pub mod matmul;
pub mod matmul_packed;
pub mod optimizer;
pub mod pool;
pub mod probes;
pub mod reduce;
pub mod softmax;
mod twins;
pub mod winograd;

pub(crate) use executor::CpuExecutor;
pub(crate) use io::Io;

use std::ops::Range;

/// Elements of a long array per task.
const BLOCK: usize = 1 << 14;

/// Applies an epilogue to a result: 0, none; 1, ReLU; 2, adds a residual, then ReLU; 3, adds a residual; 4, the gradient of a ReLU
/// with output `relu`; 5, adds a residual, then the same.
fn with_epilogue(epilogue: u32, value: f64, [residual, relu]: [f32; 2]) -> f32 {
    let value = value + if matches!(epilogue, 2 | 3 | 5) { f64::from(residual) } else { 0.0 };
    let off = match epilogue {
        1 | 2 => value <= 0.0,
        4 | 5 => relu <= 0.0,
        _ => false,
    };
    if off { 0.0 } else { value as f32 }
}

/// The residual and the ReLU's output at an index, as far as the epilogue reads them.
fn epilogue_operands(epilogue: u32, [residual, relu]: [&[f32]; 2], at: usize) -> [f32; 2] {
    let residual = if matches!(epilogue, 2 | 3 | 5) { residual[at] } else { 0.0 };
    [residual, if epilogue > 3 { relu[at] } else { 0.0 }]
}

/// Whether the bits of an `f32` are those of a finite number.
fn is_finite(bits: u32) -> bool {
    f32::from_bits(bits).is_finite()
}

/// Rounds sums to `f32`.
fn round(sums: &[f64], out: &mut [f32]) {
    out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = sum as f32);
}

/// Mutable slices of the given ranges, in the given order; `None` if any two overlap.
fn disjoint<T>(slice: &mut [T], ranges: Vec<Range<usize>>) -> Option<Vec<&mut [T]>> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|&i| ranges[i].start);
    let mut parts: Vec<&mut [T]> = Vec::new();
    parts.resize_with(ranges.len(), Default::default);
    let (mut rest, mut at) = (slice, 0);
    for i in order {
        let Range { start, end } = ranges[i];
        let (part, after) = rest.split_at_mut(start.checked_sub(at)?).1.split_at_mut(end - start);
        (parts[i], rest, at) = (part, after, end);
    }
    Some(parts)
}

/// `len` pseudorandom values in [-1, 1) from `seed`.
#[cfg(test)]
fn noise(seed: u32, len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (dropout::pcg(i ^ dropout::pcg(seed)) >> 8) as f32 / 8388608.0 - 1.0).collect()
}

/// `p` with the output size that follows from its other sizes, over all images and rows.
#[cfg(test)]
fn with_outputs(p: crate::kernel::Conv) -> crate::kernel::Conv {
    let outs = |[size, kernel, stride, padding, dilation]: [u32; 5]| {
        (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1
    };
    let out_h = outs([p.in_h, p.kernel_h, p.stride_h, p.padding_h, p.dilation_h]);
    let out_w = outs([p.in_w, p.kernel_w, p.stride_w, p.padding_w, p.dilation_w]);
    crate::kernel::Conv { out_h, out_w, images: p.batch, rows: out_h, ..p }
}

/// Runs a twin on one output buffer.
#[cfg(test)]
fn run<P>(twin: fn(&P, Io<'_>), p: &P, reads: &[&[f32]], out: &mut [f32]) {
    let reads = reads.iter().map(|r| bytemuck::cast_slice(r)).collect();
    twin(p, Io { reads, writes: vec![bytemuck::cast_slice_mut(out)] });
}

/// Panics, naming `case`, unless values agree within `tolerance * max(1, |want|)`.
#[cfg(test)]
fn assert_close(got: &[f32], want: &[f32], tolerance: f32, case: &str) {
    assert_eq!(got.len(), want.len(), "{case}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{case}: [{i}] is {g}, expected {w}");
    }
}
