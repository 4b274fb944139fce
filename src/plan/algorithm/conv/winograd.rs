//! Winograd convolution with 3 x 3 filters: transforms, and a batched matrix product with one batch per element of a patch.

use super::super::matmul::packed::{self, Operand, PackedLayout};
use super::super::{Algorithm, Pass, choose_kernel};
use super::{Geometry, correlation};
use crate::Result;
use crate::kernel::{self, ConvGemm, Grid, Kernel, StorageId, WinogradFilters, WinogradTiles};
use crate::op::Lowering;
use crate::plan::{NodeLowering, Target};

/// The kernels for one tile size. The first of a list that fits wins.
struct Kernels {
    /// Rows and columns of an output tile.
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

/// The kernels for a pass.
fn choose(target: &Target, pass: Pass) -> &'static Kernels {
    let kernel = choose_kernel(target, pass, ALGORITHM, |_| true, |_| 0.0);
    let of_kernel = |tile: &&Kernels| kernel == Some(tile.filter) || kernel == Some(tile.filter_grad);
    TILES.iter().find(of_kernel).expect("every candidate has one tile size")
}

/// Bytes of a packed operand with `count` columns of `depth` elements. With `count` rows instead, it is not larger.
fn bytes(target: &Target, k: &Kernels, count: u32, depth: u32) -> u64 {
    4 * PackedLayout::new(target, Operand::B, count, depth).elements(patch_elements(k)) as u64
}

/// Whether Winograd supports a convolution, and the operands for the filters and for one image fit in scratch memory.
pub(super) fn supports(g: &Geometry, target: &Target) -> bool {
    let shape = [g.kernel_h, g.kernel_w] == [3; 2]
        && [g.stride_h, g.stride_w, g.dilation_h, g.dilation_w, g.groups] == [1; 5];
    let [ins, outs] = [g.in_channels, g.out_channels];
    let within = |k: &Kernels| {
        let tiles = g.in_h.max(g.out_h).div_ceil(k.tile) * g.in_w.max(g.out_w).div_ceil(k.tile);
        let channels = ins.max(outs);
        let operands = [[ins, outs], [outs, ins], [tiles, channels], [channels, tiles]];
        operands.iter().all(|[count, depth]| bytes(target, k, *count, *depth) <= target.scratch_limit())
    };
    target.winograd && shape && TILES.iter().all(within)
}

/// Elements of a patch. Each is one batch of the matrix product.
fn patch_elements(k: &Kernels) -> u32 {
    (k.tile + 2) * (k.tile + 2)
}

/// Floating-point operations of a transform from `from` x `from` to `to` x `to` elements, including multiplications by zero.
fn transform_flops(to: u32, from: u32) -> u64 {
    2 * (to * from * (from + to)) as u64
}

/// The largest number of images whose operands and products each fit in a scratch buffer.
fn images_at_once(target: &Target, k: &Kernels, p: &ConvGemm) -> u32 {
    let channels = p.in_channels.max(p.out_channels);
    let within = |images: &u32| {
        let tiles = images * p.out_h.div_ceil(k.tile) * p.out_w.div_ceil(k.tile);
        bytes(target, k, tiles, channels).max(bytes(target, k, channels, tiles)) <= target.scratch_limit()
    };
    (1..=p.batch).rev().find(within).expect("`supports` checked that one image fits")
}

/// The tiles of the images of one launch.
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

fn tile_count(t: &WinogradTiles) -> u32 {
    t.images * t.down * t.across
}

/// The tiles as input patches.
fn input_patches(p: &ConvGemm, t: WinogradTiles) -> WinogradTiles {
    let (channels, height, width) = (p.in_channels, p.in_h, p.in_w);
    WinogradTiles { channels, height, width, padding_h: p.padding_h, padding_w: p.padding_w, ..t }
}

/// The tiles as output tiles.
fn output_tiles(p: &ConvGemm, t: WinogradTiles) -> WinogradTiles {
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

/// The vec4 kernel if rows are whole vec4s and the patches inside their `edge` start at one; else the scalar kernel.
fn pick_kernel(kernels: &[&'static Kernel], t: &WinogradTiles, edge: u32) -> &'static Kernel {
    let vec4 = t.width.is_multiple_of(4) && t.padding_w == edge;
    let kernel = kernels.iter().find(|kernel| vec4 || !kernel.has("vec4"));
    kernel.expect("the last kernel is scalar and fits any tiles")
}

/// Emits the transform of images to a packed operand. Returns its layout.
fn transform_patches(
    node: &mut NodeLowering,
    (kernels, edge): (&[&'static Kernel], u32),
    t: WinogradTiles,
    operand: Operand,
    [x, to]: [StorageId; 2],
) -> Result<PackedLayout> {
    let (count, depth) =
        if t.by_channel == 1 { (t.channels, tile_count(&t)) } else { (tile_count(&t), t.channels) };
    let layout = PackedLayout::new(node.target(), operand, count, depth);
    let p = WinogradTiles { panels: layout.panels, depth: layout.depth, panel_width: layout.width, ..t };
    let vec4s = layout.depth as u64 * count.div_ceil(4) as u64;
    let flops = 4 * vec4s * transform_flops(t.tile + 2, t.tile + 2);
    node.launch(pick_kernel(kernels, &t, edge), &p, &[x], &[to], Grid::Invocations(vec4s), flops)?;
    Ok(layout)
}

/// Emits a convolution, or its transpose at stride 1.
pub(super) fn correlate(
    node: &mut NodeLowering,
    pass: Pass,
    p: &ConvGemm,
    [x, weight, bias]: [StorageId; 3],
    output: StorageId,
) -> Result<()> {
    let k = choose(node.target(), pass);
    let batches = patch_elements(k);
    let layout = PackedLayout::new(node.target(), Operand::A, p.out_channels, p.in_channels);
    let u = node.scratch("filters", layout.elements(batches));
    let f = WinogradFilters {
        panels: layout.panels,
        depth: layout.depth,
        panel_width: layout.width,
        ..filters(k, p)
    };
    let vec4s = layout.depth as u64 * p.out_channels.div_ceil(4) as u64;
    let flops = 4 * vec4s * transform_flops(k.tile + 2, 3);
    node.launch(k.filter, &f, &[weight], &[u], Grid::Invocations(vec4s), flops)?;

    let images = images_at_once(node.target(), k, p);
    let most = tile_count(&tiles(k, p, 0, images));
    let b_layout = PackedLayout::new(node.target(), Operand::B, most, p.in_channels);
    let v = node.scratch("patches", b_layout.elements(batches));
    let columns = most.next_multiple_of(4);
    let m = node.scratch("products", (batches * p.out_channels * columns) as usize);
    for start in (0..p.batch).step_by(images as usize) {
        let t = tiles(k, p, start, images);
        let b = transform_patches(node, (k.input, 1), input_patches(p, t), Operand::B, [x, v])?;
        let columns = tile_count(&t).next_multiple_of(4);
        let sizes = [p.out_channels, columns, p.in_channels];
        packed::multiply_packed(node, batches, sizes, [(&layout, u), (&b, v)], m)?;
        let vec4s = p.out_channels as u64 * columns as u64 / 4;
        let flops = 4 * vec4s * transform_flops(k.tile, k.tile + 2);
        let (t, bias) = (output_tiles(p, t), if p.has_bias == 1 { bias } else { m });
        node.launch(
            pick_kernel(k.output, &t, 0),
            &t,
            &[m, bias],
            &[output],
            Grid::Invocations(vec4s),
            flops,
        )?;
    }
    Ok(())
}

/// Emits the weight gradient: one product for some images at a time, then their sum.
pub(super) fn grad_weight(node: &mut NodeLowering, g: &Geometry) -> Result<()> {
    let p = &correlation::forward(g);
    let k = choose(node.target(), Pass::GradWeight);
    let batches = patch_elements(k);
    let (x, grad_output, grad) = (node.input(0), node.input(1), node.output(0));
    let images = images_at_once(node.target(), k, p);
    let most = tile_count(&tiles(k, p, 0, images));
    let elements = |node: &NodeLowering, operand, lines| {
        PackedLayout::new(node.target(), operand, lines, most).elements(batches)
    };
    let n = node.scratch("upstream", elements(node, Operand::A, p.out_channels));
    let v = node.scratch("patches", elements(node, Operand::B, p.in_channels));
    let columns = p.in_channels.next_multiple_of(4);
    let m = node.scratch("products", (batches * p.out_channels * columns) as usize);
    let whole = images == p.batch;
    let len = node.output_len(0);
    let partial = if whole { grad } else { node.scratch("part", len) };
    for start in (0..p.batch).step_by(images as usize) {
        let t = WinogradTiles { by_channel: 1, ..tiles(k, p, start, images) };
        let a = transform_patches(node, (k.upstream, 0), output_tiles(p, t), Operand::A, [grad_output, n])?;
        let b = transform_patches(node, (k.input, 1), input_patches(p, t), Operand::B, [x, v])?;
        let sizes = [p.out_channels, columns, tile_count(&t)];
        packed::multiply_packed(node, batches, sizes, [(&a, n), (&b, v)], m)?;
        let vec4s = p.out_channels as u64 * columns as u64 / 4;
        let flops = 4 * vec4s * transform_flops(3, k.tile + 2);
        node.launch(k.filter_grad, &filters(k, p), &[m], &[partial], Grid::Invocations(vec4s), flops)?;
        if !whole {
            node.sum_slices(partial, grad, [1, len], 1.0, start > 0)?;
        }
    }
    Ok(())
}
