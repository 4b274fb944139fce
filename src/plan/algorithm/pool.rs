//! Pooling: general kernels, and faster ones for non-overlapping and for 2 x 2 windows.

use crate::Result;
use crate::kernel::{self, Grid, Kernel, Pool};
use crate::op::{AvgPool, AvgPoolGrad, Lowering, MaxPool, MaxPoolGrad, Window, to_u32};
use crate::plan::NodeLowering;

fn params(window: &Window, input: &[usize], output: &[usize]) -> Pool {
    let (kernel_size, stride, padding) = window.sliding();
    let ([kernel_h, kernel_w], [stride_h, stride_w]) = (kernel_size.map(to_u32), stride.map(to_u32));
    let [padding_h, padding_w] = padding.map(to_u32);
    Pool {
        planes: to_u32(input[0] * input[1]),
        in_h: to_u32(input[2]),
        in_w: to_u32(input[3]),
        out_h: to_u32(output[2]),
        out_w: to_u32(output[3]),
        kernel_h,
        kernel_w,
        stride_h,
        stride_w,
        padding_h,
        padding_w,
        adaptive: matches!(window, Window::Adaptive { .. }) as u32,
        ..Default::default()
    }
}

/// Additions or comparisons, padding included.
fn flops(params: &Pool) -> u64 {
    let inputs = params.planes as u64 * params.in_h as u64 * params.in_w as u64;
    let outputs = params.planes as u64 * params.out_h as u64 * params.out_w as u64;
    if params.adaptive == 1 { inputs } else { outputs * params.kernel_h as u64 * params.kernel_w as u64 }
}

/// Whether windows are 2 x 2 at stride 2 without padding, and rows can be read as vec4s.
fn is_2x2(p: &Pool) -> bool {
    let windows =
        [p.kernel_h, p.kernel_w, p.stride_h, p.stride_w] == [2; 4] && [p.padding_h, p.padding_w] == [0; 2];
    windows && p.in_h.is_multiple_of(2) && p.in_w.is_multiple_of(4)
}

/// Emits a kernel whose invocations compute `each` elements of the first output.
fn launch(node: &mut NodeLowering, kernel: &'static Kernel, each: u64, params: &Pool) -> Result<()> {
    let reads: Vec<_> = (0..kernel.reads).map(|i| node.input(i)).collect();
    let writes: Vec<_> = (0..kernel.writes).map(|i| node.output(i)).collect();
    let grid = Grid::Invocations(node.output_len(0) as u64 / each);
    node.launch(kernel, params, &reads, &writes, grid, flops(params))
}

pub fn max(op: &MaxPool, node: &mut NodeLowering) -> Result<()> {
    let params = params(&op.window, &node.input_shape(0), &node.output_shape(0));
    let target = node.target();
    let allows = |kernel: &Kernel| target.allows(kernel);
    let (kernel, each) = match params.adaptive {
        0 if is_2x2(&params) && allows(&kernel::MAX_POOL_2X2) => (&kernel::MAX_POOL_2X2, 2),
        0 => (&kernel::MAX_POOL, 1),
        _ => (&kernel::ADAPTIVE_MAX_POOL, 1),
    };
    launch(node, kernel, each, &params)
}

pub fn max_grad(op: &MaxPoolGrad, node: &mut NodeLowering) -> Result<()> {
    let params = params(&op.window, &op.input_shape, &node.input_shape(0));
    let disjoint = params.kernel_h <= params.stride_h && params.kernel_w <= params.stride_w;
    let target = node.target();
    let allows = |kernel: &Kernel| target.allows(kernel);
    let (kernel, each) = match params.adaptive {
        0 if is_2x2(&params) && allows(&kernel::MAX_POOL_GRAD_2X2) => (&kernel::MAX_POOL_GRAD_2X2, 8),
        0 if disjoint && allows(&kernel::MAX_POOL_GRAD_NON_OVERLAPPING) => {
            (&kernel::MAX_POOL_GRAD_NON_OVERLAPPING, 1)
        }
        0 => (&kernel::MAX_POOL_GRAD, 1),
        _ => (&kernel::ADAPTIVE_MAX_POOL_GRAD, 1),
    };
    launch(node, kernel, each, &params)
}

pub fn avg(op: &AvgPool, node: &mut NodeLowering) -> Result<()> {
    let params = params(&op.window, &node.input_shape(0), &node.output_shape(0));
    let count_include_pad = op.count_include_pad as u32;
    let kernel = if params.adaptive == 0 { &kernel::AVG_POOL } else { &kernel::ADAPTIVE_AVG_POOL };
    launch(node, kernel, 1, &Pool { count_include_pad, ..params })
}

pub fn avg_grad(op: &AvgPoolGrad, node: &mut NodeLowering) -> Result<()> {
    let params = params(&op.pool.window, &op.input_shape, &node.input_shape(0));
    let count_include_pad = op.pool.count_include_pad as u32;
    let kernel = if params.adaptive == 0 { &kernel::AVG_POOL_GRAD } else { &kernel::ADAPTIVE_AVG_POOL_GRAD };
    launch(node, kernel, 1, &Pool { count_include_pad, ..params })
}
