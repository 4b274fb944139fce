//! Convolution of 3 x 3 taps by fewer multiplications: transforms, and a matrix product for each number of a patch.

use super::super::matmul::packed::{self, Order, Side};
use super::super::{self as algorithm, Algorithm, Candidate, Pass};
use super::{Geometry, correlation};
use crate::Result;
use crate::kernel::{self, ConvGemm, Grid, Kernel, StorageId, WinogradFilters, WinogradTiles};
use crate::op::Lowering;
use crate::plan::{NodeLowering, Target};

/// The kernels of one size of tile. Of several, the first that fits is taken.
struct Kernels {
    /// Rows and columns of a tile.
    tile: u32,
    input: &'static [&'static Kernel],
    upstream: &'static [&'static Kernel],
    output: &'static [&'static Kernel],
    filter: &'static Kernel,
    filter_grad: &'static Kernel,
}

static TILES: [Kernels; 2] = [
    Kernels {
        tile: 2,
        input: &[&kernel::WINOGRAD_INPUT_2X2],
        upstream: &[&kernel::WINOGRAD_UPSTREAM_2X2],
        output: &[&kernel::WINOGRAD_OUTPUT_2X2],
        filter: &kernel::WINOGRAD_FILTER_2X2,
        filter_grad: &kernel::WINOGRAD_FILTER_GRAD_2X2,
    },
    Kernels {
        tile: 4,
        input: &[&kernel::WINOGRAD_INPUT_4X4_VEC4, &kernel::WINOGRAD_INPUT_4X4],
        upstream: &[&kernel::WINOGRAD_UPSTREAM_4X4_VEC4, &kernel::WINOGRAD_UPSTREAM_4X4],
        output: &[&kernel::WINOGRAD_OUTPUT_4X4_VEC4, &kernel::WINOGRAD_OUTPUT_4X4],
        filter: &kernel::WINOGRAD_FILTER_4X4,
        filter_grad: &kernel::WINOGRAD_FILTER_GRAD_4X4,
    },
];

const ALGORITHM: Algorithm = Algorithm::Winograd;

const fn correlates(kernel: &'static Kernel) -> Candidate {
    Candidate { passes: &[Pass::Forward, Pass::GradInput], algorithm: ALGORITHM, kernel }
}

const fn grad_weight_by(kernel: &'static Kernel) -> Candidate {
    Candidate { passes: &[Pass::GradWeight], algorithm: ALGORITHM, kernel }
}

/// The kernels that stand for a size of tile.
pub static CANDIDATES: [Candidate; 4] = [
    correlates(&kernel::WINOGRAD_FILTER_4X4),
    correlates(&kernel::WINOGRAD_FILTER_2X2),
    grad_weight_by(&kernel::WINOGRAD_FILTER_GRAD_4X4),
    grad_weight_by(&kernel::WINOGRAD_FILTER_GRAD_2X2),
];

/// The tile for a pass.
fn choose(target: &Target, pass: Pass) -> &'static Kernels {
    let kernel = algorithm::kernel(target, pass, ALGORITHM, |_| true, |_| 0.0);
    let of_kernel = |tile: &&Kernels| kernel == Some(tile.filter) || kernel == Some(tile.filter_grad);
    TILES.iter().find(of_kernel).expect("each candidate is of one size of tile")
}

/// Bytes of an operand of `count` columns and `depth`; one of so many rows is no larger.
fn bytes(target: &Target, k: &Kernels, count: u32, depth: u32) -> u64 {
    4 * Order::new(target, Side::B, count, depth).elements(numbers(k)) as u64
}

/// Whether a convolution is of the kind, and the operands of its filters and of an image can be had.
pub(super) fn can(g: &Geometry, target: &Target) -> bool {
    let kind = [g.kernel_h, g.kernel_w] == [3; 2]
        && [g.stride_h, g.stride_w, g.dilation_h, g.dilation_w, g.groups] == [1; 5];
    let [ins, outs] = [g.in_channels, g.out_channels];
    let within = |k: &Kernels| {
        let tiles = g.in_h.max(g.out_h).div_ceil(k.tile) * g.in_w.max(g.out_w).div_ceil(k.tile);
        let channels = ins.max(outs);
        let operands = [[ins, outs], [outs, ins], [tiles, channels], [channels, tiles]];
        operands.iter().all(|[count, depth]| bytes(target, k, *count, *depth) <= target.scratch_limit())
    };
    target.winograd && kind && TILES.iter().all(within)
}

/// Numbers of a patch, and so products.
fn numbers(k: &Kernels) -> u32 {
    (k.tile + 2) * (k.tile + 2)
}

/// Multiplications and additions of a transform that makes `to` x `to` numbers from `from` x `from`, zeros counted.
fn transform_flops(to: u32, from: u32) -> u64 {
    2 * (to * from * (from + to)) as u64
}

/// Images whose operands and products fit in a scratch buffer each.
fn images_at_once(target: &Target, k: &Kernels, p: &ConvGemm) -> u32 {
    let channels = p.in_channels.max(p.out_channels);
    let within = |images: &u32| {
        let tiles = images * p.out_h.div_ceil(k.tile) * p.out_w.div_ceil(k.tile);
        bytes(target, k, tiles, channels).max(bytes(target, k, channels, tiles)) <= target.scratch_limit()
    };
    (1..=p.batch).rev().find(within).expect("`can` admits only what one image leaves room for")
}

/// Tiles of the images of one launch.
fn tiles(k: &Kernels, p: &ConvGemm, image_start: u32, images: u32) -> WinogradTiles {
    WinogradTiles {
        tile: k.tile,
        images: images.min(p.batch - image_start),
        image_start,
        down: p.out_h.div_ceil(k.tile),
        across: p.out_w.div_ceil(k.tile),
        has_bias: p.has_bias,
        ..Default::default()
    }
}

fn count(t: &WinogradTiles) -> u32 {
    t.images * t.down * t.across
}

/// The tiles as patches of the input.
fn of_input(p: &ConvGemm, t: WinogradTiles) -> WinogradTiles {
    let (channels, height, width) = (p.in_channels, p.in_h, p.in_w);
    WinogradTiles { channels, height, width, padding_h: p.padding_h, padding_w: p.padding_w, ..t }
}

/// The tiles as parts of the output.
fn of_output(p: &ConvGemm, t: WinogradTiles) -> WinogradTiles {
    WinogradTiles { channels: p.out_channels, height: p.out_h, width: p.out_w, ..t }
}

fn filters(k: &Kernels, p: &ConvGemm) -> WinogradFilters {
    WinogradFilters {
        tile: k.tile,
        outs: p.out_channels,
        ins: p.in_channels,
        w_out: p.w_out,
        w_in: p.w_in,
        w_start: p.w_start,
        w_down: p.w_down,
        w_right: p.w_right,
        ..Default::default()
    }
}

/// The kernel for a row's pixels, which quads can take if patches' middles, or tiles, begin with one.
fn suiting(kernels: &[&'static Kernel], t: &WinogradTiles, edge: u32) -> &'static Kernel {
    let quads = t.width.is_multiple_of(4) && t.padding_w == edge;
    let fitting = kernels.iter().find(|kernel| quads || !kernel.has("vec4"));
    fitting.expect("the last one fits everything")
}

/// Emits a transform of images to an operand. Returns how that lies.
fn patches(
    node: &mut NodeLowering,
    (kernels, edge): (&[&'static Kernel], u32),
    t: WinogradTiles,
    side: Side,
    [x, to]: [StorageId; 2],
) -> Result<Order> {
    let (count, depth) = if t.by_channel == 1 { (t.channels, count(&t)) } else { (count(&t), t.channels) };
    let order = Order::new(node.target(), side, count, depth);
    let p = WinogradTiles { panels: order.panels, depth: order.depth, panel_width: order.width, ..t };
    let quads = order.depth as u64 * count.div_ceil(4) as u64;
    let flops = 4 * quads * transform_flops(t.tile + 2, t.tile + 2);
    node.launch(suiting(kernels, &t, edge), &p, &[x], &[to], Grid::Invocations(quads), flops)?;
    Ok(order)
}

/// Emits a convolution, or its transpose at stride 1, of images, weight and, where there is one, the bias.
pub(super) fn correlate(
    node: &mut NodeLowering,
    pass: Pass,
    p: &ConvGemm,
    [x, weight, bias]: [StorageId; 3],
    output: StorageId,
) -> Result<()> {
    let k = choose(node.target(), pass);
    let batches = numbers(k);
    let order = Order::new(node.target(), Side::A, p.out_channels, p.in_channels);
    let u = node.scratch("filters", order.elements(batches));
    let f = WinogradFilters {
        panels: order.panels,
        depth: order.depth,
        panel_width: order.width,
        ..filters(k, p)
    };
    let quads = order.depth as u64 * p.out_channels.div_ceil(4) as u64;
    let flops = 4 * quads * transform_flops(k.tile + 2, 3);
    node.launch(k.filter, &f, &[weight], &[u], Grid::Invocations(quads), flops)?;

    let images = images_at_once(node.target(), k, p);
    let most = count(&tiles(k, p, 0, images));
    let b_order = Order::new(node.target(), Side::B, most, p.in_channels);
    let v = node.scratch("patches", b_order.elements(batches));
    let columns = most.next_multiple_of(4);
    let m = node.scratch("products", (batches * p.out_channels * columns) as usize);
    for start in (0..p.batch).step_by(images as usize) {
        let t = tiles(k, p, start, images);
        let b = patches(node, (k.input, 1), of_input(p, t), Side::B, [x, v])?;
        let columns = count(&t).next_multiple_of(4);
        let sizes = [p.out_channels, columns, p.in_channels];
        packed::multiply_ordered(node, batches, sizes, [(&order, u), (&b, v)], m)?;
        let quads = p.out_channels as u64 * columns as u64 / 4;
        let flops = 4 * quads * transform_flops(k.tile, k.tile + 2);
        let (t, bias) = (of_output(p, t), if p.has_bias == 1 { bias } else { m });
        node.launch(suiting(k.output, &t, 0), &t, &[m, bias], &[output], Grid::Invocations(quads), flops)?;
    }
    Ok(())
}

/// Emits the gradient of the weight: products over all tiles of some images, and those added up.
pub(super) fn grad_weight(node: &mut NodeLowering, g: &Geometry) -> Result<()> {
    let p = &correlation::forward(g);
    let k = choose(node.target(), Pass::GradWeight);
    let batches = numbers(k);
    let (x, grad_output, grad) = (node.input(0), node.input(1), node.output(0));
    let images = images_at_once(node.target(), k, p);
    let most = count(&tiles(k, p, 0, images));
    let elements =
        |node: &NodeLowering, side, lines| Order::new(node.target(), side, lines, most).elements(batches);
    let n = node.scratch("upstream", elements(node, Side::A, p.out_channels));
    let v = node.scratch("patches", elements(node, Side::B, p.in_channels));
    let columns = p.in_channels.next_multiple_of(4);
    let m = node.scratch("products", (batches * p.out_channels * columns) as usize);
    let whole = images == p.batch;
    let len = node.output_len(0);
    let partial = if whole { grad } else { node.scratch("part", len) };
    for start in (0..p.batch).step_by(images as usize) {
        let t = WinogradTiles { by_channel: 1, ..tiles(k, p, start, images) };
        let a = patches(node, (k.upstream, 0), of_output(p, t), Side::A, [grad_output, n])?;
        let b = patches(node, (k.input, 1), of_input(p, t), Side::B, [x, v])?;
        let sizes = [p.out_channels, columns, count(&t)];
        packed::multiply_ordered(node, batches, sizes, [(&a, n), (&b, v)], m)?;
        let quads = p.out_channels as u64 * columns as u64 / 4;
        let flops = 4 * quads * transform_flops(3, k.tile + 2);
        node.launch(k.filter_grad, &filters(k, p), &[m], &[partial], Grid::Invocations(quads), flops)?;
        if !whole {
            node.sum_slices(partial, grad, [1, len], 1.0, start > 0)?;
        }
    }
    Ok(())
}
