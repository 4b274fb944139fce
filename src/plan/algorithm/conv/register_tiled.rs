//! Register-tiled direct convolution for software adapters, which share weights by subgroup broadcasts.

use super::super::{Algorithm, Pass, choose_kernel};
use super::{Geometry, MAX_SLICES, Sizes, affordable_slices, correlation, in_slices};
use crate::Result;
use crate::kernel::{self, ConvGemm, ConvPack, ConvRegisterTiled, Grid, Kernel, StorageId};
use crate::op::Lowering;
use crate::plan::{NodeLowering, Target};

/// Columns of results per invocation.
const COLUMNS: u32 = 4;

const ALGORITHM: Algorithm = Algorithm::RegisterTiled;

/// Upper bound on the bytes of packed weights, which are padded with zeros where channels are few or filters narrow.
pub(super) fn packed_bytes(g: &Geometry) -> u64 {
    let [ins, outs] = [g.in_channels / g.groups, g.out_channels / g.groups].map(u64::from);
    let pairs = (ins * outs.next_multiple_of(32)).max(outs * ins.next_multiple_of(32));
    let taps = (u64::from(g.kernel_h) * u64::from(g.kernel_w.next_multiple_of(3))).max(12);
    4 * u64::from(g.groups) * pairs * taps
}

/// Whether a kernel supports a convolution with this subgroup size.
fn fits(kernel: &Kernel, p: &ConvRegisterTiled, subgroup: u32) -> bool {
    let [taps_h, taps_w, stride] = ["taps_h", "taps_w", "stride"].map(|name| kernel.constant(name));
    let whole = [p.kernel_h, p.kernel_w] == [taps_h, taps_w];
    // The rows of a tile share the input rows of a multi-row filter, so the input rows must be adjacent.
    let rows = taps_h == 1 || (p.stride_h == stride && p.dilation_h == 1);
    // Filters of any size can be computed in parts of 1 x 3 taps, and filters with five columns in whole rows.
    let walked = taps_h == 1 && (taps_w == 3 || [taps_w, p.kernel_w] == [5, 5]);
    let window = p.stride_w == stride && rows && (whole || walked);
    // A vec4 must not cross rows, neither of the input nor of the result.
    let vec4_rows = p.in_w.is_multiple_of(COLUMNS * stride)
        && p.out_w.is_multiple_of(COLUMNS)
        && [p.y_start, p.y_right] == [0, 1];
    let vec4 = vec4_rows
        && match taps_w {
            // A tile reads its pixels as vec4s, plus one pixel to the left and possibly one to the right.
            3 => whole && p.padding_w == 1 && p.out_w * stride == p.in_w,
            _ => p.padding_w.is_multiple_of(COLUMNS),
        };
    let flag = |name| kernel.has(name);
    window
        && (!flag("vec4") || vec4)
        && (!flag("shuffle") || p.out_w.div_ceil(COLUMNS).next_power_of_two() <= subgroup)
}

/// Whether the polyphase kernel can compute the input gradient in one launch.
pub(super) fn fits_polyphase_kernel(target: &Target, g: &Geometry) -> bool {
    let allowed = target
        .kernel(Pass::GradInput)
        .is_none_or(|kernel| kernel == &kernel::CONV_REGISTER_TILED_POLYPHASE_3X3);
    let pairs = [
        [g.kernel_h, g.kernel_w],
        [g.stride_h, g.stride_w],
        [g.padding_h, g.padding_w],
        [g.dilation_h, g.dilation_w],
    ];
    allowed
        && pairs == [[3, 3], [2, 2], [1, 1], [1, 1]]
        && [g.in_h, g.in_w] == [2 * g.out_h, 2 * g.out_w]
        && g.out_w.is_multiple_of(COLUMNS)
        && (g.out_w / COLUMNS).next_power_of_two() <= target.subgroup
}

/// Emits the input gradient by the polyphase kernel.
pub(super) fn grad_input(node: &mut NodeLowering, g: &Geometry, grad_input: StorageId) -> Result<()> {
    let [grad_output, weight] = [0, 1].map(|i| node.input(i));
    let kernel = &kernel::CONV_REGISTER_TILED_POLYPHASE_3X3;
    // The rotated filter, as at stride 1.
    let c = correlation::rotated(g);
    let (p, packed) = pack_weights(node, kernel, &c, weight)?;
    let p = ConvRegisterTiled { across: (p.in_w / COLUMNS).next_power_of_two(), ..p };
    let flops = correlation::flops(&correlation::forward(g));
    node.launch(kernel, &p, &[grad_output, packed], &[grad_input], grid(kernel, &p, p.in_h), flops)
}

/// The kernel for a pass: the requested one if it fits, else the first that fits.
fn choose(target: &Target, pass: Pass, p: &ConvRegisterTiled) -> &'static Kernel {
    let fits = |kernel: &Kernel| fits(kernel, p, target.subgroup);
    choose_kernel(target, pass, ALGORITHM, fits, |_| 0.0).expect(
        "the algorithm is only chosen for strides 1 and 2, and the 1 x 3 kernels support filters of any size",
    )
}

/// For 1 x 1 filters, reshapes images whose rows are not whole vec4s into rows of one vec4.
fn as_vec4_rows(c: &ConvGemm) -> ConvGemm {
    let pixels = c.in_h * c.in_w;
    let pointwise =
        [c.kernel_h, c.kernel_w, c.stride_h, c.stride_w, c.padding_h, c.padding_w] == [1, 1, 1, 1, 0, 0];
    let whole = [c.y_plane, c.y_start, c.y_down, c.y_right] == [pixels, 0, c.in_w, 1];
    if !(pointwise && whole && pixels.is_multiple_of(COLUMNS)) || c.in_w.is_multiple_of(COLUMNS) {
        return *c;
    }
    let (rows, columns) = (pixels / COLUMNS, COLUMNS);
    ConvGemm { in_h: rows, in_w: columns, out_h: rows, out_w: columns, y_down: columns, ..*c }
}

/// The parameters that do not depend on the chosen kernel.
fn params(c: &ConvGemm) -> ConvRegisterTiled {
    let c = as_vec4_rows(c);
    ConvRegisterTiled {
        batch: c.batch,
        in_channels: c.in_channels,
        in_h: c.in_h,
        in_w: c.in_w,
        out_channels: c.out_channels,
        out_h: c.out_h,
        out_w: c.out_w,
        kernel_h: c.kernel_h,
        kernel_w: c.kernel_w,
        stride_h: c.stride_h,
        stride_w: c.stride_w,
        dilation_h: c.dilation_h,
        padding_h: c.padding_h,
        padding_w: c.padding_w,
        groups: c.groups,
        y_plane: c.y_plane,
        y_start: c.y_start,
        y_down: c.y_down,
        y_right: c.y_right,
        has_bias: c.has_bias,
        epilogue: c.epilogue,
        ..Default::default()
    }
}

/// Emits a correlation: packs the weights, then launches the first kernel that fits.
pub(super) fn correlate(
    node: &mut NodeLowering,
    pass: Pass,
    c: &ConvGemm,
    [x, weight, bias, residual]: [StorageId; 4],
) -> Result<()> {
    let kernel = choose(node.target(), pass, &params(c));
    let (p, packed) = pack_weights(node, kernel, c, weight)?;
    let across = p.out_w.div_ceil(COLUMNS);
    let p = ConvRegisterTiled {
        across: if kernel.has("shuffle") { across.next_power_of_two() } else { across },
        ..p
    };
    let (reads, output) = ([x, packed, bias, residual], node.output(0));
    node.launch(kernel, &p, &reads, &[output], grid(kernel, &p, p.out_h), correlation::flops(c))
}

/// One workgroup per block of tiles, over rows up to `height`, and block of channels.
fn grid(kernel: &Kernel, p: &ConvRegisterTiled, height: u32) -> Grid {
    let tiles = p.batch as u64 * height.div_ceil(kernel.constant("rows")) as u64 * p.across as u64;
    let blocks = p.groups * p.out_channels.div_ceil(p.channels);
    Grid::Workgroups(tiles.div_ceil(kernel.threads as u64) * blocks as u64)
}

/// Emits the packing of weights for a kernel. Returns the kernel's parameters and the packed weights.
fn pack_weights(
    node: &mut NodeLowering,
    kernel: &Kernel,
    c: &ConvGemm,
    weight: StorageId,
) -> Result<(ConvRegisterTiled, StorageId)> {
    let [taps_h, taps_w, channels] = ["taps_h", "taps_w", "channels"].map(|name| kernel.constant(name));
    // Every lane loads a vec4.
    let line = (taps_h * taps_w * channels).next_multiple_of(4 * node.target().subgroup);
    let p = ConvRegisterTiled { line, channels, taps_h, taps_w, ..params(c) };
    let blocks = p.groups * p.out_channels.div_ceil(channels);
    let windows = p.kernel_h.div_ceil(taps_h) * p.kernel_w.div_ceil(taps_w);
    let lines = p.in_channels * windows * blocks;
    // There are no lines if no tap reads the pixels of a phase; their gradient is 0.
    let packed = node.scratch("packed weights", (lines.max(1) * line) as usize);
    if lines > 0 {
        let pack = ConvPack {
            lines,
            in_channels: p.in_channels,
            out_channels: p.out_channels,
            kernel_h: p.kernel_h,
            kernel_w: p.kernel_w,
            taps_h,
            taps_w,
            channels,
            line,
            w_group: c.w_group,
            w_out: c.w_out,
            w_in: c.w_in,
            w_start: c.w_start,
            w_down: c.w_down,
            w_right: c.w_right,
        };
        launch_packing(node, &pack, weight, packed)?;
    }
    Ok((p, packed))
}

/// Packing kernels that load and store vec4s.
static PACKS: [&Kernel; 4] = [
    &kernel::CONV_PACK_3X3,
    &kernel::CONV_PACK_3X3_ROTATED,
    &kernel::CONV_PACK_1X1,
    &kernel::CONV_PACK_1X1_ROTATED,
];

/// Emits the packing kernel: sixteen pairs of channels per invocation if possible, else one.
fn launch_packing(node: &mut NodeLowering, p: &ConvPack, weight: StorageId, packed: StorageId) -> Result<()> {
    let taps = p.taps_h * p.taps_w;
    let whole = [p.kernel_h, p.kernel_w] == [p.taps_h, p.taps_w];
    let whole_vec4s = [p.in_channels, p.out_channels].iter().all(|channels| channels.is_multiple_of(4));
    let unrotated = [p.w_in, p.w_start, p.w_down, p.w_right] == [taps, 0, p.taps_w, 1];
    let rotated = [p.w_out, p.w_start, p.w_down, p.w_right]
        == [taps, taps - 1, p.taps_w.wrapping_neg(), 1_u32.wrapping_neg()];
    let fits = |kernel: &&&Kernel| {
        kernel.constant("taps") == taps && if kernel.has("rotated") { rotated } else { unrotated }
    };
    let pairs = p.lines as u64 * p.channels as u64;
    match PACKS.iter().find(fits).filter(|_| whole && whole_vec4s) {
        Some(kernel) => node.launch(kernel, p, &[weight], &[packed], Grid::Invocations(pairs / 16), 0),
        None => node.launch(&kernel::CONV_PACK, p, &[weight], &[packed], Grid::Invocations(pairs), 0),
    }
}

/// Enough subgroups to keep every core busy.
const TARGET_SUBGROUPS: u32 = 256;

/// Emits the weight gradient: slices of images in parallel, then their sum.
pub(super) fn grad_weight(node: &mut NodeLowering, g: &Geometry) -> Result<()> {
    let subgroup = node.target().subgroup;
    let c = correlation::forward(g);
    let p = params(&c);
    let kernel = choose(node.target(), Pass::GradWeight, &p);
    let [taps_h, taps_w, channels] = ["taps_h", "taps_w", "channels"].map(|name| kernel.constant(name));
    let pairs = p.in_channels * p.kernel_h.div_ceil(taps_h) * p.kernel_w.div_ceil(taps_w);
    let work = pairs.div_ceil(subgroup) * p.groups * p.out_channels.div_ceil(channels);

    let len = g.out_channels * Sizes::new(g).taps;
    let slices = affordable_slices(node.target(), len, MAX_SLICES).min(TARGET_SUBGROUPS.div_ceil(work));
    let images_per_slice = g.batch.div_ceil(slices);
    let slices = g.batch.div_ceil(images_per_slice);
    let p = ConvRegisterTiled { images_per_slice, ..p };
    let subgroups = slices as u64 * work as u64;
    let grid = Grid::Workgroups(subgroups.div_ceil((kernel.threads / subgroup) as u64));
    let reads = [node.input(0), node.input(1)];
    in_slices(node, slices, len, |node, partial| {
        node.launch(kernel, &p, &reads, &[partial], grid, correlation::flops(&c))
    })
}
